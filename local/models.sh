# shellcheck shell=bash disable=SC2154
# What trained models make of a data folder, in inference_nj jobs.

# tokenize <dir> <data dir> <bin.tokenize args...>: its TASTE codes
tokenize() {
    sharded "$1" "$2/text" "${python}" -m espnet2_taste.bin.tokenize "${taste[@]}" \
        --data_dir "$2" --device "${device}" "${@:3}"
    datadir merge "$1" "$1"
}
# synthesize <dir> <data dir> <bin.synthesize args...>: speech from text and codes, or units
synthesize() {
    # shellcheck disable=SC2046,SC2086
    sharded "$1" "$2/text" "${python}" -m espnet2_taste.bin.synthesize --data_dir "$2" \
        --vocoder_type "${vocoder_type}" --vocoder "${vocoder}" $(part_conf vocoder_conf) \
        --device "${device}" "${@:3}" ${synthesis_args}
    datadir merge "$1" "$1"
}
# generate <dir> <data dir> <taste.scp> <seed> <bin.taslm_generate args...>: words and codes
generate() {
    # shellcheck disable=SC2086
    sharded "$1" "$2/text" "${python}" -m espnet2_taste.bin.taslm_generate "${taslm[@]}" \
        --data_dir "$2" --taste "$3" --seed "$4" --config "${taslm_inference_config}" \
        --device "${device}" "${@:5}" ${taslm_inference_args}
    datadir merge "$1" "$1"
}
