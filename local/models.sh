# shellcheck shell=bash disable=SC2154
# What trained models make of a data folder, in inference_nj jobs (stages 3, 6 and 8);
# the rows of the tables (stage 6);
# training of units and speaker encoder.

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
        --device "${device}" "${fast_words[@]}" "${@:5}" ${taslm_inference_args}
    datadir merge "$1" "$1"
}

# said <row key> <set> <experiment> <bin.synthesize args...>
said() {
    local dir model=(--train_config "$3/config.yaml" --model_file "$3/${taste_model}") file=$3/${taste_model} codes_file=""
    dir=$(row_dir "$1" "$2")
    if [ "$3" = "${taste_exp}" ]; then
        model=("${taste[@]}") file=${taste_file} codes_file=${codes}/$2/taste.scp
    fi
    run_step "${dir}/.done" "$(row_inputs "$2") ${file} ${codes_file}" "${dir}/wav.scp ${dir}/units.scp" \
        synthesize "${dir}" "${raw}/$2" "${model[@]}" --seed "${1#*:}" "${@:4}"
}
row_inputs() { echo "${raw}/$1/text ${raw}/$1/units.scp ${raw}/$1/spk_emb.scp ${vocoder_file}"; } # <set>
row_experiment() { # <name>: of --rows <name>=<experiment>
    local item
    for item in ${rows}; do if [ "${item%%=*}" = "$1" ]; then echo "${item#*=}"; fi; done
}
row() { # <row key> <set>
    case ${1%:*} in
        copy) run_step "${decode}/copy/$2/.done" "$(row_inputs "$2")" "${decode}/copy/$2/wav.scp" \
            synthesize "${decode}/copy/$2" "${raw}/$2" --condition units --batch_size 16 ;;
        text_only) said "$1" "$2" "${baseline_exp}" --condition text ;;
        no_vq) said "$1" "$2" "${no_vq_exp}" --condition speech ;;
        taste) said "$1" "$2" "${taste_exp}" --condition codes --taste "${codes}/$2/taste.scp" ;;
        *) # shellcheck disable=SC2046
            said "$1" "$2" "$(row_experiment "${1%:*}")" --condition speech \
                $([[ "${1%:*}" != *_stream ]] || echo --stream) \
                $([[ "${1%:*}" != *_ctc ]] || echo --heard) ;;
    esac
}

# taken_over <table> <set> <dir>: what the corpus brings need not be extracted
taken_over() {
    mkdir -p "$3"
    utils/filter_scp.pl "${org}/$2/wav.scp" "${data}/$2/$1" > "$3/$1"
}
# shellcheck disable=SC2046
extract_speakers() { # <set> [<speakers.scp of the training set>]
    local dir=${dumpdir}/spk_emb/$1
    if [ -e "${data}/$1/spk_emb.scp" ]; then taken_over spk_emb.scp "$1" "${dir}"; else
        sharded "${dir}" "${org}/$1/wav.scp" "${python}" -m espnet2_taste.bin.extract_speakers --data_dir "${org}/$1" \
            --model_type "${speaker_type}" --model "${speaker}" --device "${device}" $(part_conf speaker_conf)
        datadir merge "${dir}" "${dir}"
    fi
    "${python}" -m espnet2_taste.bin.extract_speakers --average "${spk_average}" --data_dir "${org}/$1" \
        --spk_emb "${dir}/spk_emb.scp" --output_dir "${dir}/averaged" ${2:+--known "$2"}
}
# shellcheck disable=SC2046
extract_units() { # <set>
    local dir=${dumpdir}/units/$1 analysed=()
    if [ -e "${data}/$1/units.scp" ]; then
        taken_over units.scp "$1" "${dir}"
        cp "${data}/$1/unit_spec.yaml" "${dir}/"
        return
    fi
    if [ -z "${units_model}" ] && [ -e "${dumpdir}/world/$1/feats.scp" ]; then
        analysed=(--feats "${dumpdir}/world/$1/feats.scp")
    fi
    sharded "${dir}" "${org}/$1/wav.scp" "${python}" -m espnet2_taste.bin.extract_units --data_dir "${org}/$1" \
        --model_type "${unit_type}" --model "${units}" --device "${device}" $(part_conf units_conf) "${analysed[@]}"
    datadir merge "${dir}" "${dir}"
}
align() { # <set> [<speakers.scp of the training set>]
    local dir=${dumpdir}/align/$1
    sharded "${dir}" "${org}/$1/wav.scp" "${python}" -m espnet2_taste.bin.align --data_dir "${org}/$1" \
        --asr_config "${asr_exp}/config.yaml" \
        --asr_model "${asr_file}" --device "${device}" --segmenter "${segmenter}"
    datadir merge "${dir}" "${dir}"
    "${python}" -m espnet2_taste.bin.align --speaker_mean --data_dir "${org}/$1" --output_dir "${dir}" ${2:+--known "$2"}
}
# shellcheck disable=SC2046
train_speaker() { # <dir> <configuration>: every 20th utterance is for validation: of the same speakers
    local org_set=${org}/${train_set} shapes=${expdir}/stats/speaker items
    if [ "$(awk '{print $2}' "${org_set}/utt2spk" | sort -u | wc -l)" = 1 ]; then
        log "one speaker: an xvector learns nothing of voices (all get one embedding, speaker similarity" \
            "means nothing); a published encoder does: --speaker_type campplus --speaker_model <folder>"
    fi
    mkdir -p "${shapes}"
    awk 'NR % 20 != 1' "${org_set}/utt2num_samples" > "${shapes}/train"
    awk 'NR % 20 == 1' "${org_set}/utt2num_samples" > "${shapes}/valid"
    items=("speech:${org}:wav.scp:${sound}" "speaker:${org}:utt2spk:text")
    train "$1" "${org_set}/wav.scp ${org_set}/utt2spk" espnet2_taste.bin.speaker_train \
        --config "$2" --train_shape_file "${shapes}/train" --valid_shape_file "${shapes}/valid" \
        $(data_args train "${train_set}" "${items[@]}"; data_args valid "${train_set}" "${items[@]}") "${fast_train[@]}"
}
extract_world() { # <set>: what units are trained on
    local dir=${dumpdir}/world/$1
    sharded "${dir}" "${org}/$1/wav.scp" "${python}" -m espnet2_taste.bin.extract_world \
        --config "${units_config}" --data_dir "${org}/$1"
    datadir merge "${dir}" "${dir}"
}
# shellcheck disable=SC2046
train_units() { # <data files>
    local world=${dumpdir}/world
    train "${units_exp}" "$1" espnet2_taste.bin.units_train --config "${units_config}" \
        --train_shape_file "${world}/${train_set}/feats_shape" \
        --valid_shape_file "${world}/${valid_set}/feats_shape" $(both_sets "${unit_data[@]}") "${fast_train[@]}"
}
