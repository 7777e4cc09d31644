#!/usr/bin/env bash
# Test sets of spoken language models (stage 8 of taste.sh, the same options): of
# --testsets "name:layout=folder ..." likelihoods in exp/decode/likelihood/<name> and
# answers in exp/decode/qa/<name>. All sets are tokenised and scored together.
set -e -u -o pipefail

. utils/options.sh
. utils/models.sh

lock "${dumpdir}/testsets/.lock" wait # a run with another tag may be here, too
sets_dir=${dumpdir}/testsets/sets  # <name> as published
tests=${dumpdir}/testsets/all      # all of them together
test_codes=${codes}/testsets

prepare() { # <name:layout=folder...>
    local item dir dirs=()
    for item in "$@"; do
        dir=${sets_dir}/${item%%:*}
        rm -rf "${dir}"
        item=${item#*:}
        "${python}" -m espnet2_taste.bin.prepare_testset --layout "${item%%=*}" \
            --root "${item#*=}" --output_dir "${dir}"
        if [ "$(cat "${dir}/text" 2> /dev/null | wc -l)" != "$(wc -l < "${dir}/wav.scp")" ]; then
            sharded "${dir}" "${dir}/wav.scp" "${python}" -m espnet2_taste.bin.transcribe \
                --data_dir "${dir}" "${recogniser[@]}" --device "${device}"
            datadir merge "${dir}" "${dir}" text
        fi
        dirs+=("${dir}")
    done
    rm -rf "${dumpdir}/testsets"/{org,all}
    datadir combine "${dirs[@]}" --target "${dumpdir}/testsets/org"
    "${python}" -m espnet2_taste.bin.format_wav "${dumpdir}/testsets/org" "${tests}" \
        --nj "${nj}" --fs "${fs}" --max_wav_duration "${max_wav_duration}" --min_wav_duration 0
}
likelihoods() { # <name...>
    local dir=${decode}/likelihood name
    sharded "${dir}" "${tests}/text" "${python}" -m espnet2_taste.bin.taslm_likelihood "${taslm[@]}" \
        --data_dir "${tests}" --taste "${test_codes}/taste.scp" --device "${device}"
    datadir merge "${dir}" "${dir}" likelihoods.jsonl
    for name in "$@"; do
        mkdir -p "${dir}/${name}"
        cp "${sets_dir}/${name}/pairs" "${dir}/likelihoods.jsonl" "${dir}/${name}/"
    done
}
answers() { # <name>: to the questions of a set
    local dir=${decode}/qa/$1 data=${dumpdir}/testsets/$1
    datadir subset "${tests}" "${data}" --allow_missing --key_file "${sets_dir}/$1/wav.scp"
    generate "${dir}" "${data}" "${test_codes}/taste.scp" "${sampling_seeds%% *}" --whole_prompts
    cp "${sets_dir}/$1/answers.jsonl" "${dir}/"
}

folders=$(for item in ${testsets}; do echo "${item#*=}"; done)
# shellcheck disable=SC2086
run_step "${tests}.done" "${folders}" "${tests}/wav.scp ${tests}/text ${sets_dir}" prepare ${testsets}
run_step "${test_codes}/.done" "${tests}/wav.scp ${tests}/text ${taste_file}" \
    "${test_codes}/taste.scp" tokenize "${test_codes}" "${tests}"
inputs="${test_codes}/taste.scp ${tests}/text ${taslm_file} ${sets_dir}"
pairs=()
for name in $(testset_names); do
    if [ -e "${sets_dir}/${name}/pairs" ]; then pairs+=("${name}"); fi
    if [ -e "${sets_dir}/${name}/answers.jsonl" ]; then
        run_step "${decode}/qa/${name}/.done" "${inputs} ${taslm_inference_config}" \
            "${decode}/qa/${name}/text" answers "${name}"
    fi
done
if [ ${#pairs[@]} -gt 0 ]; then
    run_step "${decode}/likelihood/.done" "${inputs}" \
        "$(printf "${decode}/likelihood/%s/likelihoods.jsonl " "${pairs[@]}")" likelihoods "${pairs[@]}"
fi
