# shellcheck shell=bash disable=SC2154
# Test sets of spoken language models, for stage 8: --testsets "name:layout=folder ..."
# becomes likelihoods in ${decode}/likelihood/<name> and answers in ${decode}/qa/<name>.
# All sets are tokenised and scored together: one start of each program.

tests=${dumpdir}/testsets         # sets/<name> as published, all of them together in all
test_codes=${codes}/testsets

# testset_names [<file that only these have>]
testset_names() {
    local item name
    for item in ${testsets}; do
        name=${item%%:*}
        if [ -z "${1:-}" ] || [ -e "${tests}/sets/${name}/$1" ]; then echo "${name}"; fi
    done
}

# testset_folders <likelihood|qa> <file that only these have>: as bin.score takes them
testset_folders() {
    local name
    for name in $(testset_names "$2"); do echo "${name}=${decode}/$1/${name}"; done
}
# testset_marks: of what stage 8 makes
testset_marks() {
    local name
    [ -z "$(testset_names pairs)" ] || echo -n " ${decode}/likelihood/.done"
    for name in $(testset_names answers.jsonl); do echo -n " ${decode}/qa/${name}/.done"; done
}

# prepare_testsets <name:layout=folder...>
prepare_testsets() {
    local item dir dirs=()
    for item in "$@"; do
        dir=${tests}/sets/${item%%:*}
        rm -rf "${dir}"
        item=${item#*:}
        "${python}" -m espnet2_taste.bin.prepare_testset --layout "${item%%=*}" \
            --root "${item#*=}" --output_dir "${dir}"
        if [ "$(cat "${dir}/text" 2> /dev/null | wc -l)" != "$(wc -l < "${dir}/wav.scp")" ]; then
            sharded "${dir}/log" "${dir}/wav.scp" "${python}" -m espnet2_taste.bin.transcribe \
                --data_dir "${dir}" "${recogniser[@]}" --device "${device}"
            datadir merge "${dir}/log" "${dir}" text
        fi
        dirs+=("${dir}")
    done
    rm -rf "${tests:?}"/{org,all}
    datadir combine "${dirs[@]}" --target "${tests}/org"
    "${python}" -m espnet2_taste.bin.format_wav "${tests}/org" "${tests}/all" --nj "${nj}" \
        --fs "${fs}" --max_wav_duration "${max_wav_duration}" --min_wav_duration 0
}

# likelihoods <name...>
likelihoods() {
    local dir=${decode}/likelihood name
    sharded "${dir}/log" "${tests}/all/text" "${python}" -m espnet2_taste.bin.taslm_likelihood \
        --train_config "${taslm_exp}/config.yaml" --model_file "${taslm_exp}/${taslm_model}" \
        --data_dir "${tests}/all" --taste "${test_codes}/taste.scp" --device "${device}"
    datadir merge "${dir}/log" "${dir}" likelihoods.jsonl
    for name in "$@"; do
        mkdir -p "${dir}/${name}"
        cp "${tests}/sets/${name}/pairs" "${dir}/likelihoods.jsonl" "${dir}/${name}/"
    done
}

# answers <name> <bin.taslm_generate args...>: to the questions of a set
answers() {
    local dir=${decode}/qa/$1 data=${tests}/$1
    datadir subset "${tests}/all" "${data}" --allow_missing --key_file "${tests}/sets/$1/wav.scp"
    generate "${dir}" "${data}" "${test_codes}/taste.scp" "${sampling_seeds%% *}" \
        --whole_prompts "${@:2}"
    cp "${tests}/sets/$1/answers.jsonl" "${dir}/"
}

run_testsets() {
    local name names
    [ -n "${testsets}" ] || return 0
    # shellcheck disable=SC2086
    run_step "${tests}/.done" data/.done_data prepare_testsets ${testsets}
    run_step "${test_codes}/.done" "${tests}/.done ${taste_exp}/.done" \
        tokenize "${test_codes}" "${tests}/all" "${tests}/all/text"
    names=$(testset_names pairs)
    # shellcheck disable=SC2086
    [ -z "${names}" ] || run_step "${decode}/likelihood/.done" \
        "${test_codes}/.done ${taslm_exp}/.done" likelihoods ${names}
    for name in $(testset_names answers.jsonl); do
        # shellcheck disable=SC2086
        run_step "${decode}/qa/${name}/.done" \
            "${test_codes}/.done ${taslm_exp}/.done ${taslm_inference_config}" \
            answers "${name}" ${taslm_inference_args}
    done
}
