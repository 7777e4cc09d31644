# shellcheck shell=bash disable=SC2154
# What trained models make of a data folder, in inference_nj jobs.

# tokenize <dir> <data dir> <bin.tokenize args...>: its TASTE codes
tokenize() {
    sharded "$1" "$2/text" "${python}" -m espnet2_taste.bin.tokenize "${taste[@]}" \
        --data_dir "$2" --device "${device}" "${@:3}"
    datadir merge "$1" "$1" taste.scp
    cp "$1"/output.1/{num_codebooks,codebook_size} "$1/"
}
# synthesize <dir> <data dir> <bin.synthesize args...>: speech from text and codes
synthesize() {
    # shellcheck disable=SC2086
    sharded "$1" "$2/text" "${python}" -m espnet2_taste.bin.synthesize --data_dir "$2" \
        --vocoder_type "${vocoder_type}" --vocoder "${vocoder}" --device "${device}" \
        "${@:3}" ${synthesis_args}
    datadir merge "$1" "$1" text units.scp wav.scp
}
# resynthesize <dir> <data dir>: speech from the original's units
resynthesize() {
    sharded "$1" "$2/text" "${python}" -m espnet2_taste.bin.resynthesize --data_dir "$2" \
        --units "$2/units.scp" --spk_emb "$2/spk_emb.scp" \
        --vocoder_type "${vocoder_type}" --vocoder "${vocoder}" --device "${device}"
    datadir merge "$1" "$1" wav.scp
}
# generate <dir> <data dir> <taste.scp> <seed> <bin.taslm_generate args...>: words and codes
generate() {
    local name tables=()
    # shellcheck disable=SC2086
    sharded "$1" "$2/text" "${python}" -m espnet2_taste.bin.taslm_generate "${taslm[@]}" \
        --data_dir "$2" --taste "$3" --seed "$4" --config "${taslm_inference_config}" \
        --device "${device}" "${@:5}" ${taslm_inference_args}
    for name in text taste.scp spk_emb.scp utt2spk prompt_text; do # not all always
        [ ! -f "$1/output.1/${name}" ] || tables+=("${name}")
    done
    datadir merge "$1" "$1" "${tables[@]}"
    for name in num_codebooks codebook_size; do
        [ ! -f "$1/output.1/${name}" ] || cp "$1/output.1/${name}" "$1/"
    done
}
