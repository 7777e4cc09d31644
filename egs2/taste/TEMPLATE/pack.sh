#!/usr/bin/env bash
# One file with all parts and a model card, and its upload: stages 10 and 11 of taste.sh,
# the same options.
#   ./pack.sh --expdir exp --pack_args "--license apache-2.0"
set -e -u -o pipefail

. utils/options.sh

stage_10() {
    local set scored=() files parts
    files="${taste_file} ${vocoder_file} ${units_file} ${speaker_file}"
    for set in $(unique ${test_sets}); do
        need "${scores}/${set}/results.json" 9
        files+=" ${scores}/${set}/results.json"
        scored+=("${set}=${scores}/${set}")
    done
    need "${taste_file}" 5
    parts=(--taste "${taste_file}")
    if "${with_taslm}"; then
        need "${taslm_file}" 7
        files+=" ${taslm_file}"
        parts+=(--taslm "${taslm_file}")
    fi
    # shellcheck disable=SC2046,SC2086
    run_step "${packed_model}.done" "${files}" "${packed_model}" \
        "${python}" -m espnet2_taste.bin.pack "${parts[@]}" \
        --vocoder_type "${vocoder_type}" --vocoder "${vocoder}" --unit_type "${unit_type}" \
        --units "${units}" --speaker_type "${speaker_type}" --speaker "${speaker}" \
        $(part_conf vocoder_conf) $(part_conf units_conf) $(part_conf speaker_conf) \
        --results "${scored[@]}" ${hf_repo:+--name "${hf_repo}"} ${pack_args} \
        --output "${packed_model}"
}
stage_11() {
    need "${packed_model}" 10
    if "${dry_run}"; then upload_args+=" --dry_run"; fi
    # shellcheck disable=SC2086
    "${python}" -m espnet2_taste.bin.upload --packed "${packed_model}" --repo "${hf_repo}" ${upload_args}
}
run_stage 10 "one file that opens anywhere: ${packed_model}"
if [ -n "${hf_repo}" ]; then
    run_stage 11 "upload to ${hf_repo}"
elif active 11; then
    log "stage 11: nothing is uploaded (--hf_repo user/name)"
fi
