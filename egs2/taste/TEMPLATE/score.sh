#!/usr/bin/env bash
# Scores of every test set and the report: stage 9 of taste.sh, the same options.
#   ./score.sh --expdir exp --test_sets "test other"
set -e -u -o pipefail

. utils/options.sh

# measure_and_score <set> <bin.score args...>: bin.measure takes the same
measure_and_score() {
    local dir=${scores}/$1
    shard_size=16 sharded "${dir}/measures" "${raw}/$1/text" \
        "${python}" -m espnet2_taste.bin.measure "${@:2}"
    job "${infer_cmd}" "${dir}/score.log" "${python}" -m espnet2_taste.bin.score "${@:2}" --output_dir "${dir}"
}
# row_folders <set> <stage> <name...>: their rows, as bin.score takes them
row_folders() {
    local key dir
    for key in $(row_keys "${@:3}"); do
        dir=$(row_dir "${key}" "$1")
        need "${dir}/wav.scp" "$2"
        echo "${key}=${dir}"
    done
}
# scored_testsets <likelihood|qa>: folders of spoken language model tests
scored_testsets() {
    local name
    for name in $(testset_names); do
        if [ -d "${decode}/$1/${name}" ]; then echo "${name}=${decode}/$1/${name}"; fi
    done
}
# with <option> <words...>: nothing without words
with() { if [ $# -gt 1 ]; then printf '%s\n' "$@"; fi; }

# shellcheck disable=SC2207,SC2046,SC2086,SC2206
score_set() { # <set>
    local set=$1 rows_of=() continued=() lm=() args files dir
    need "${raw}/${set}/.done" 3
    rows_of=($(row_folders "${set}" 6 ${rows}))
    args=(--ref_dir "${raw}/${set}" --rows "${rows_of[@]}" "${recogniser[@]}" ${grammar:+--grammar "${grammar}"}
        --meters ${meters} --device "${device}" --taste "${codes}/${set}/taste.scp"
        --conditioned_by "${speaker_type}=${speaker}" --rtf_dirs "${dumpdir}/spk_emb/${set}" "${dumpdir}/units/${set}")
    if [ -e "${raw}/${set}/transcripts.json" ]; then args+=("${dumpdir}/transcripts/${set}"); fi
    if [ -e "${codes}/${train_set}/taste.scp" ]; then
        args+=(--train_dir "${raw}/${train_set}" --train_taste "${codes}/${train_set}/taste.scp")
    fi
    if "${with_taslm}"; then
        continued=($(row_folders "${set}" 8 taslm control))
        args+=(--continuation_rows "${continued[@]}"
            ${continuation_grammar:+--continuation_grammar "${continuation_grammar}"})
        if [ "${set}" = "${test_sets%% *}" ]; then # tests of the language model: with the first set
            lm=($(with --likelihood $(scored_testsets likelihood)) $(with --qa $(scored_testsets qa)))
        fi
    fi
    args+=("${lm[@]}" ${score_args} --meter_conf)
    if [[ " ${meters} " = *" speaker "* ]]; then
        if [ -n "${meter_speaker_config}" ]; then args+=(speaker.type=xvector "speaker.model=${meter_speaker_exp}")
        else args+=("speaker.type=${speaker_type}" "speaker.model=${speaker}"); fi
    fi
    files="$(there "${raw}/${set}"/{text_given,transcripts.json}) ${raw}/${set}/text ${raw}/${set}/wav.scp ${codes}/${set}/taste.scp"
    for dir in "${rows_of[@]#*=}" "${continued[@]#*=}"; do
        files+=" ${dir}/wav.scp $(there "${dir}"/{text,units.scp,prompt_text,judge.jsonl})"
    done
    for dir in "${lm[@]#*=}"; do files+=" $(there "${dir}"/{likelihoods.jsonl,text})"; done
    run_step "${scores}/${set}/.done" "${files} $(there ${grammar} ${continuation_grammar})" \
        "${scores}/${set}/results.json ${scores}/${set}/statistics.npz" \
        measure_and_score "${set}" "${args[@]}" ${meter_conf}
}

stage_9() {
    local set scored=() files="" trained=()
    for set in $(unique ${test_sets}); do
        score_set "${set}"
        scored+=("${set}=${scores}/${set}")
        files+=" ${scores}/${set}/results.json ${scores}/${set}/statistics.npz"
    done
    for set in asr="${asr_exp}" text_only="${text_only_exp}" no_vq="${no_vq_exp}" \
        taste="${taste_exp}" taslm="${taslm_exp}"; do
        if [ -d "${set#*=}" ]; then trained+=("${set}"); fi
    done
    run_step "${scores}/.done_report" "${files}" "${results} ${scores}/report.html" \
        "${python}" -m espnet2_taste.bin.report --score_dirs "${scored[@]}" \
        --title "$(basename "${PWD}")" --attention_dir "${codes}" --exp_dirs "${trained[@]}" \
        --results "${results}" --html "${scores}/report.html" --commands "${TASTE_COMMAND}"
    cat "${results}"
    log "${results} and ${PWD}/${scores}/report.html"
}
run_stage 9 "scores and report of ${test_sets}"
