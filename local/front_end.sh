# shellcheck shell=bash disable=SC2154
# What stage 3 makes of recordings and texts: speaker embeddings, units, a recogniser and
# the words it aligns, vocabularies.
#
# It works on one set at a time, the training set first: a test set that is added
# later costs itself only. What a speaker has in the training set (mean embedding, mean
# F0) holds in every set.
# for_set <set> <command...>: the training set's first, other sets' side by side
for_set() { if [ "$1" = "${train_set}" ]; then "${@:2}"; else background "${@:2}"; fi; }
# of_training <set> <file of the training set>: for other sets, if it is there
of_training() { if [ "$1" != "${train_set}" ]; then there "$2"; fi; }
trains_units() { [ -z "${units_model}" ] && ! "${skip_train}"; }
analysis() { # what units are trained on
    local set
    for set in "${train_set}" "${valid_set}"; do
        run_step "${dumpdir}/world/${set}/.done" "$(merged "${units_config}") ${org}/${set}/wav.scp" \
            "${dumpdir}/world/${set}/feats.scp" extract_world "${set}"
    done
}
speakers_and_units() {
    local set dir files unit_data known
    unit_data=("feats:${dumpdir}/world:feats.scp:kaldi_ark"
        "spk_emb:${dumpdir}/spk_emb:averaged/spk_emb.scp:kaldi_ark")
    if [ -z "${speaker_model}" ] && ! "${skip_train}"; then
        run_step "${speaker_exp}/.done" "$(merged "${speaker_config}") ${org}/${train_set}/wav.scp \
            ${org}/${train_set}/utt2spk" "${speaker_file}" train_speaker "${speaker_exp}" "${speaker_config}"
    fi
    for set in ${sets}; do
        dir=${dumpdir}/spk_emb/${set}/averaged
        known=$(of_training "${set}" "${dumpdir}/spk_emb/${train_set}/averaged/speakers.scp")
        for_set "${set}" run_step "${dumpdir}/spk_emb/${set}/.done" \
            "${org}/${set}/wav.scp ${org}/${set}/utt2spk ${speaker_file} ${known} $(there "${data}/${set}/spk_emb.scp")" \
            "${dir}/spk_emb.scp ${dir}/spk_embed_dim ${dir}/speakers.scp" \
            extract_speakers "${set}" ${known:+"${known}"}
    done
    wait_for_all
    if trains_units; then
        files=$(files_of "${unit_data[@]}")
        run_step "${units_exp}/.done" "$(merged "${units_config}") ${files}" "${units_file}" train_units "${files}"
    fi
    for set in ${sets}; do
        dir=${dumpdir}/units/${set}
        for_set "${set}" run_step "${dir}/.done" \
            "${org}/${set}/wav.scp ${units_file} $(there "${data}/${set}"/{units.scp,unit_spec.yaml})" \
            "${dir}/units.scp ${dir}/unit_spec.yaml" extract_units "${set}"
    done
    wait_for_all
}
speaker_meter() { # needed by stage 9 only
    run_step "${meter_speaker_exp}/.done" "$(merged "${meter_speaker_config}") ${org}/${train_set}/wav.scp \
        ${org}/${train_set}/utt2spk" "${meter_speaker_exp}/valid.loss.best.pth" \
        train_speaker "${meter_speaker_exp}" "${meter_speaker_config}"
}
recogniser_of_words() {
    local files
    files="$(tables_of "${org}" wav.scp text utt2num_samples)"
    run_step "${chars%/*}/.done_char" "${org}/${train_set}/text" "${chars}" \
        "${python}" -m espnet2_taste.bin.train_tokenizer --token_type asr --data_dir "${org}/${train_set}" --output "${chars}"
    # shellcheck disable=SC2046,SC2086
    run_step "${asr_exp}/.done" "$(merged "${asr_config}") ${chars} ${files}" "${asr_file}" \
        train "${asr_exp}" "${chars} ${files}" espnet2_taste.bin.asr_train \
        --config "${asr_config}" --token_type char --token_list "${chars}" \
        --train_shape_file "${org}/${train_set}/utt2num_samples" \
        --valid_shape_file "${org}/${valid_set}/utt2num_samples" \
        $(both_sets "speech:${org}:wav.scp:${sound}" "text:${org}:text:text") \
        "${fast_train[@]}" ${asr_args}
}
# vocabularies <configuration...>: files of those that they name, of these two
vocabularies() {
    local config all=()
    for config in $(there "$@"); do all+=("$(merged "${config}")"); done
    if named "${letters}"; then echo "${letters}"; fi
    if named "${hf_bpe}"; then echo "${hf_bpe}/tokenizer.json"; fi
}
named() { grep -q ": *$1\$" "${all[@]}" /dev/null; }
other_vocabularies() { # also of a --tag that begins with stage 5
    local file kind
    for file in $(vocabularies "$(taste_conf rvq)" "${taslm_config}"); do
        if [ "${file}" = "${letters}" ]; then kind=char; else kind=hf; fi
        run_step "data/token_list/.done_${kind}" "${org}/${train_set}/text" "${file}" \
            "${python}" -m espnet2_taste.bin.train_tokenizer --token_type "${kind}" \
            --data_dir "${org}/${train_set}" --vocab_size "${vocab_size}" --output "${file%/tokenizer.json}"
    done
}
vocabulary() {
    run_step "${bpe%/*}/.done" "${org}/${train_set}/text" "${bpe}" "${python}" -m espnet2_taste.bin.train_tokenizer \
        --data_dir "${org}/${train_set}" --vocab_size "${vocab_size}" --segmenter "${segmenter}" --output "${bpe}"
    other_vocabularies
}
words() { # and when they are said
    local set known aligned
    if ! "${skip_train}"; then recogniser_of_words; fi
    for set in ${sets}; do
        aligned=${dumpdir}/align/${set}
        known=$(of_training "${set}" "${dumpdir}/align/${train_set}/speakers.scp")
        for_set "${set}" run_step "${aligned}/.done" "${org}/${set}/wav.scp ${org}/${set}/text ${asr_file} ${known}" \
            "${aligned}/borders.scp ${aligned}/relative/prosody.scp ${aligned}/words.ctm ${aligned}/speakers.scp" \
            align "${set}" ${known:+"${known}"}
    done
    wait_for_all
}
# joined <set> <its files...>: what they have in common, where the vocabulary has all words
joined() {
    local vocabulary=() config
    if [ -n "${download_model}" ]; then vocabulary=(--spelled_by "${download_model}")
    elif [[ "${given}" = *" taste "* ]]; then vocabulary=(--spelled_by "${taste_exp}/config.yaml")
    elif ! "${skip_train}"; then
        for config in $(there "$(taste_conf rvq)"; if "${with_taslm}"; then there "${taslm_config}"; fi); do
            vocabulary+=(--spelled_by "${config}")
        done
    fi
    rm -f "${raw:?}/$1"/*
    cp "${@:2}" "${raw}/$1/"
    if [ -n "${asr_config}" ]; then
        "${python}" -m espnet2_taste.bin.durations --borders "${dumpdir}/align/$1/borders.scp" \
            --units "${raw}/$1/units.scp" --output_dir "${raw}/$1"
    fi
    datadir fix "${raw}/$1" "${vocabulary[@]}" --bpe_model "${bpe}" --segmenter "${segmenter}"
}
