#!/usr/bin/env bash
# TASTE from data to scores, for every recipe: ./run.sh --stage 1 --stop_stage 9
set -e -u -o pipefail

SECONDS=0
. utils/options.sh # all options, and the names of what the stages make
. utils/models.sh  # train_speaker, train_units; tokenize, synthesize, generate
. utils/front_end.sh # analysis, speakers_and_units, words, speaker_meter, vocabulary, joined
. utils/transcripts.sh # heard, limited, split_long, transcribe, take_transcripts

stage_1() { # data/<set>: wav.scp, text, utt2spk, spk2utt
    local set few file
    mkdir -p data
    for set in ${sets}; do
        for file in wav.scp utt2spk $(if ! heard "${set}"; then echo text; fi); do
            [ -s "data/${set}/${file}" ] || rm -f data/.done_data
        done
    done
    # shellcheck disable=SC2086
    run_step data/.done_data "$(there local/*.sh local/*.py db.sh)" "" local/data.sh ${local_data_opts}
    for set in ${sets}; do need "data/${set}/wav.scp" 1; done
    if "${fast}"; then
        for set in ${sets}; do
            if [ "${set}" = "${train_set}" ]; then few=${fast_size}; else few=4; fi
            run_step "${data}/${set}/.done" "$(there "data/${set}"/{wav.scp,text,utt2spk,segments})" \
                "${data}/${set}/wav.scp ${data}/${set}/utt2spk" datadir subset "data/${set}" "${data}/${set}" --spread "${few}"
        done
    fi
    check_options files # data/ is there now
}

stage_2() { # dump/raw/org/<set>: mono; what cannot be used is dropped and reported
    local set limits source audio made
    for set in ${sets}; do
        need "${data}/${set}/wav.scp" 1
        source=${data}/${set} audio=${org}/${set} made=$(tables "${org}/${set}")
        limits=(--max_wav_duration "${max_wav_duration}" --min_wav_duration "${min_wav_duration}")
        if ! limited "${set}"; then
            limits=(--max_wav_duration inf --min_wav_duration 0)
        elif [ "${long_utts}" = split ]; then
            source=${dumpdir}/raw/split/${set}
            run_step "${dumpdir}/raw/split/.done_${set}" "$(there "${data}/${set}"/{wav.scp,text,utt2spk,segments,utt2dur,words.ctm})" \
                "${source}/wav.scp ${source}/utt2spk" split_long "${data}/${set}" "${source}"
        elif [ "${long_utts}" = keep ]; then
            limits=(--max_wav_duration inf --min_wav_duration "${min_wav_duration}")
        fi
        if heard "${set}" || [ "${source}" != "${data}/${set}" ]; then # where text may lack
            audio=${dumpdir}/raw/audio/${set} limits+=(--no_text)
            made="${audio}/utt2spk ${audio}/utt2num_samples"
        elif [ -e "${org}/${set}/transcripts.json" ]; then # of an earlier run
            rm -f "${org}/${set}"/{transcripts.json,text_given,utt2lang,skipped}
        fi
        run_step "${audio}/.done" "$(there "${source}"/{wav.scp,text,utt2spk,segments,utt2dur})" \
            "${audio}/wav.scp ${made}" \
            on_cpus "${dumpdir}/log/format_wav.${set}.log" "${python}" -m espnet2_taste.bin.format_wav "${source}" "${audio}" \
            --fs "${fs}" --audio_format "${audio_format}" --nj "${nj}" "${limits[@]}"
        [ "${audio}" != "${org}/${set}" ] || continue
        # shellcheck disable=SC2046,SC2086
        run_step "${dumpdir}/transcripts/${set}/.done" \
            "${audio}/wav.scp $(there "${audio}/text" ${grammar} ${score_asr_model})" \
            "${dumpdir}/transcripts/${set}/text" transcribe "${set}" "${audio}" \
            "${recogniser[@]}" ${grammar:+--grammar "${grammar}"} $(hearing "${set}")
        # shellcheck disable=SC2046
        run_step "${dumpdir}/transcripts/${set}/.done_text" \
            "${audio}/wav.scp ${audio}/utt2spk $(there "${audio}/text") ${dumpdir}/transcripts/${set}/text" \
            "${org}/${set}/wav.scp $(tables "${org}/${set}")" take_transcripts "${set}" "${audio}" $(taking "${set}")
    done
}
tables() { echo "$1/text $1/utt2spk $1/utt2num_samples"; } # <folder>

stage_3() { # dump/raw/<set>: units, speaker embeddings, alignment
    local set files org_set aligned
    for set in ${sets}; do need "${org}/${set}/utt2num_samples" 2; done
    if trains_units; then analysis; fi # on all cores, before anything trains: units take longest
    background speakers_and_units
    if [ -n "${asr_config}" ]; then background words; fi
    if ! "${skip_train}"; then background vocabulary; fi
    if [ -n "${meter_speaker_config}" ] && ! "${skip_train}"; then background speaker_meter; fi
    wait_for_all
    for set in ${sets}; do
        org_set=${org}/${set} aligned=${dumpdir}/align/${set}
        files="${org_set}/wav.scp ${org_set}/sample_rate $(tables "${org_set}") ${dumpdir}/units/${set}/units.scp"
        files+=" ${dumpdir}/units/${set}/unit_spec.yaml ${dumpdir}/spk_emb/${set}/averaged/spk_emb.scp"
        files+=" ${dumpdir}/spk_emb/${set}/averaged/spk_embed_dim $(there "${org_set}"/{text_given,utt2lang,transcripts.json})"
        if [ -n "${asr_config}" ]; then
            files+=" ${aligned}/relative/prosody.scp ${aligned}/words.ctm"
        fi
        # shellcheck disable=SC2086
        run_step "${raw}/${set}/.done" "${files} $(there "${bpe}" "${aligned}/borders.scp")" \
            "${raw}/${set}/units.scp ${raw}/${set}/wav.scp $(tables "${raw}/${set}")" \
            joined "${set}" ${files}
    done
    if [ "${vocoder_type}" = griffin_lim ] && [ -z "${vocoder_model}" ]; then
        run_step "${units_exp}/.done_griffin_lim" "${raw}/${train_set}/units.scp" "${units_exp}/griffin_lim.pth" \
            "${python}" -m espnet2_taste.bin.fit_griffin_lim --data_dir "${raw}/${train_set}" --output_dir "${units_exp}"
    fi
}

write_shapes() {
    local set
    for set in "${train_set}" "${valid_set}"; do
        mkdir -p "${expdir}/stats/${set}"
        cp "${raw}/${set}/utt2num_samples" "${expdir}/stats/${set}/speech_shape"
    done
}
extract_feats() { # <set>
    sharded "${feats}/$1" "${raw}/$1/wav.scp" "${python}" -m espnet2_taste.bin.extract_feats \
        --config "$(taste_conf no_vq)" --data_dir "${raw}/$1" --device "${device}"
    datadir merge "${feats}/$1" "${feats}/$1"
}
name_feats() { # a folder per frontend
    feats=${dumpdir}/feats_$("${python}" -m espnet2_taste.bin.config "$(taste_conf no_vq)" --digest frontend frontend_conf)
}
stage_4() { # lengths, features
    local set files
    if "${skip_train}"; then return; fi
    for set in "${train_set}" "${valid_set}"; do need "${raw}/${set}/.done" 3; done
    files=$(printf "${expdir}/stats/%s " {"${train_set}","${valid_set}"}/speech_shape)
    run_step "${expdir}/stats/.done" "$(tables_of "${raw}" utt2num_samples)" "${files}" write_shapes
    if [ "${feats_type}" = extracted ]; then
        name_feats
        for set in "${train_set}" "${valid_set}"; do
            background run_step "${feats}/${set}/.done" "${raw}/${set}/wav.scp" "${feats}/${set}/feats.scp" \
                extract_feats "${set}"
        done
        wait_for_all
    fi
}

# data_of <sub-stage>: what it is trained on
data_of() {
    echo "text:${raw}:text:text units:${raw}:units.scp:kaldi_ark spk_emb:${raw}:spk_emb.scp:kaldi_ark"
    case $1 in
        text_only*) ;; # never hears the audio
        *) if [ "${feats_type}" = extracted ]; then echo "feats:${feats}:feats.scp:kaldi_ark"
        else echo "speech:${raw}:wav.scp:${sound}"; fi ;;
    esac
    if [ -n "${asr_config}" ]; then
        echo "durations:${raw}:durations.scp:kaldi_ark prosody:${raw}:prosody.scp:kaldi_ark"
    fi
}
# sub_stage <option that names its folder> <configuration> <initial experiment or "">
# shellcheck disable=SC2046,SC2086
sub_stage() {
    local dir=$1_exp config items files options=()
    dir=${!dir} config=$(taste_conf "$2") items=$(data_of "$2")
    if [[ "${given}" = *" $1 "* ]]; then need "${dir}/${taste_model}" 5; return; fi
    if [ -n "${asr_config}" ]; then
        options+=(--asr_config "${asr_exp}/config.yaml" --asr_model "${asr_file}")
    fi
    if [ "${encoder_cache_gib}" -gt 0 ] && [[ "$2" != text_only* && "${given}" != *" no_vq "* ]]; then
        options+=(--encoder_cache "${no_vq_exp}/encoder_cache" --encoder_cache_gib "${encoder_cache_gib}")
    fi
    files="${bpe} $(vocabularies "${config}") $(files_of ${items})"
    if [ -n "$3" ]; then
        options+=(--init_param "$3/${taste_model}")
        files+=" $3/${taste_model}"
    fi
    run_step "${dir}/.done" "$(merged "${config}") ${files} ${asr_config:+${asr_file}}" "${dir}/${taste_model}" \
        train "${dir}" "${files}" espnet2_taste.bin.taste_train --seed "${seed}" \
        --config "${config}" --bpe_model "${bpe}" --segmenter "${segmenter}" \
        --spk_embed_dim "$(<"${raw}/${train_set}/spk_embed_dim")" \
        $(with_shapes speech_shape ${items}) "${options[@]}" "${fast_train[@]}" ${taste_args}
}
no_vq_and_rvq() {
    sub_stage no_vq no_vq "${text_only_exp}"
    OMP_NUM_THREADS=${nj} sub_stage taste rvq "${no_vq_exp}" # alone at last, likewise
}
stage_5() { # text-only, without quantiser, with quantiser; and the baseline
    need "${expdir}/stats/.done" 4
    other_vocabularies
    if [ "${feats_type}" = extracted ]; then name_feats; fi
    splits=${splits_dir}/taste${suffix}
    # shellcheck disable=SC2046
    split_tables speech_shape $(data_of no_vq)
    OMP_NUM_THREADS=${nj} sub_stage text_only text_only "" # alone: it may use all cores
    background no_vq_and_rvq
    if [ "${baseline_exp}" != "${text_only_exp}" ]; then
        background sub_stage baseline text_only_matched "${text_only_exp}"
    fi
    wait_for_all
    log "${text_only_exp} ${no_vq_exp} ${taste_exp} ${baseline_exp}: see images/ (curves), att_ws/ (attention)"
}

stage_6() { # codes of all sets; resynthesis of the test sets
    local set key attention
    if "${skip_train}" && "${skip_eval}"; then return; fi # nobody reads codes
    [ -n "${download_model}" ] || need "${taste_file}" 5
    for set in ${sets}; do
        need "${raw}/${set}/.done" 3
        attention=()
        if tests "${set}"; then attention=(--attention_keys "${raw}/${set}/text"); fi
        background run_step "${codes}/${set}/.done" "${raw}/${set}/wav.scp ${raw}/${set}/text ${taste_file}" \
            "${codes}/${set}/taste.scp" tokenize "${codes}/${set}" "${raw}/${set}" "${attention[@]}"
    done
    wait_for_all
    if "${skip_eval}"; then return; fi
    for set in ${test_sets}; do
        # shellcheck disable=SC2086
        for key in $(row_keys ${rows}); do background row "${key}" "${set}"; done
    done
    wait_for_all
}
tests() { [[ " ${test_sets} " = *" $1 "* ]]; } # <set>

count_tokens() { # <file in stats>: of the TASLM's vocabulary
    local set
    for set in "${train_set}" "${valid_set}"; do
        "${python}" -m espnet2_taste.bin.count_tokens --config "${taslm_config}" --bpe_model "${bpe}" \
            --segmenter "${segmenter}" --data_dir "${raw}/${set}" --output "${expdir}/stats/${set}/$1"
    done
}
stage_7() { # TASLM
    local files items shape=tokens_shape${suffix}
    if [[ "${given}" = *" taslm "* ]]; then return; fi
    need "${codes}/${train_set}/taste.scp" 6
    need "${taste_file}" 5
    files="$(tables_of "${codes}" taste.scp) $(tables_of "${raw}" text) ${bpe} $(vocabularies "${taslm_config}") ${taste_file}"
    items=("text:${raw}:text:text" "taste:${codes}:taste.scp:kaldi_ark")
    run_step "${expdir}/stats/.done_${shape}" \
        "$(tables_of "${raw}" text) $(there "${bpe}") $(vocabularies "${taslm_config}") $(merged "${taslm_config}")" \
        "$(tables_of "${expdir}/stats" "${shape}")" count_tokens "${shape}"
    splits=${splits_dir}/taslm${suffix}
    split_tables "${shape}" "${items[@]}"
    # shellcheck disable=SC2046,SC2086
    OMP_NUM_THREADS=${nj} run_step "${taslm_exp}/.done" "$(merged "${taslm_config}") ${files}" "${taslm_file}" \
        train "${taslm_exp}" "${files}" espnet2_taste.bin.taslm_train --seed "${seed}" \
        --config "${taslm_config}" --bpe_model "${bpe}" \
        --taste_config "${taste_exp}/config.yaml" --taste_model "${taste_file}" \
        $(with_shapes "${shape}" "${items[@]}") \
        "${fast_train[@]}" ${taslm_args}
}

continue_and_say() { # <dir> <set> <seed> <bin.taslm_generate args...>
    generate "$1/generated" "${raw}/$2" "${codes}/$2/taste.scp" "$3" "${@:4}"
    synthesize "$1" "$1/generated" "${taste[@]}" --seed "$3" --condition codes \
        --taste "$1/generated/taste.scp"
    cp "$1/generated/prompt_text" "$1/"
}
continuation() { # <row key> <set> <own|shuffled>
    local dir length=${prompt} ctm=${raw}/$2/words.ctm
    dir=$(row_dir "$1" "$2")
    if [ -z "${length}" ]; then
        if [ -e "${ctm}" ]; then length="--prompt_seconds 3 --ctm ${ctm}"; else length="--prompt_words 4"; fi
    fi
    # shellcheck disable=SC2086
    run_step "${dir}/.done" "${taslm_file} ${taslm_inference_config} ${taste_file} ${codes}/$2/taste.scp
        ${raw}/$2/text ${raw}/$2/spk_emb.scp ${vocoder_file} $(there "${ctm}")" \
        "${dir}/wav.scp ${dir}/text ${dir}/prompt_text" \
        continue_and_say "${dir}" "$2" "${1#*:}" --prompt_codes "$3" ${length}
    # shellcheck disable=SC2086
    run_step "${dir}/.done_judge" "${dir}/text ${dir}/prompt_text" "${dir}/judge_prompts.jsonl" \
        "${python}" -m espnet2_taste.bin.judge --data_dir "${dir}" --output_dir "${dir}" ${judge_args}
}
stage_8() { # continuation of test prompts, and of prompts with others' codes; test sets
    local set s
    [ -n "${download_model}" ] || need "${taslm_file}" 7
    if [ -n "${testsets}" ]; then background ./testsets.sh "${arguments[@]}"; fi
    for set in ${test_sets}; do
        for s in ${sampling_seeds}; do
            background continuation "taslm:${s}" "${set}" own
            background continuation "control:${s}" "${set}" shuffled
        done
    done
    wait_for_all
}

run_stage 1 "local/data.sh"
run_stage 2 "audio, mono (rate: ${fs})"
run_stage 3 "speech units, speaker embeddings, alignment, text tokens"
run_stage 4 "lengths"
if ! "${nested}"; then python3 -I utils/lock.py "${descriptor}" data/.lock shared; fi
run_stage 5 "tokenizer: text-only, without quantiser, with quantiser; and the baseline"
run_stage 6 "TASTE codes of all sets; resynthesis of ${test_sets}"
run_stage 7 "TASLM training"
run_stage 8 "TASLM continuation of the prompts of ${test_sets}, a control; test sets"
if active 9; then ./score.sh "${arguments[@]}"; fi
if active 10 || active 11; then ./pack.sh "${arguments[@]}"; fi
log "finished in ${SECONDS} s"
