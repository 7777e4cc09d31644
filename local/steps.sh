# shellcheck shell=bash disable=SC2154
# What the stages of a pipeline script share: messages, steps that are skipped when done,
# jobs with logs, sharding, ESPnet training and its data options. Uses the script's
# variables stage, stop_stage, python, nj, inference_nj, shard_size, infer_cmd, cuda_cmd,
# ngpu, num_nodes, train_set and valid_set.

log() {
    local stamp; stamp=$(date '+%Y-%m-%dT%H:%M:%S')
    echo "${stamp} (${BASH_SOURCE[1]##*/}:${BASH_LINENO[0]}:${FUNCNAME[1]}) $*"
}
die() { echo "$0: error: $*" >&2; exit 1; }

begin() { log "stage $1: $2"; stage_start=${SECONDS}; }
end() { log "stage $1: made $2 in $((SECONDS - stage_start)) s"; }
active() { [ "${stage}" -le "$1" ] && [ "${stop_stage}" -ge "$1" ]; }

# need <file> <stage>: fail with the stage that makes a missing file.
need() { [ -e "$1" ] || die "no $1: run stage $2 first (--stage $2)"; }

# run_step <mark> "<files>" <command...>: skipped when it ended before with this command
# line and these contents of files. The mark is written last, so a kill leaves none.
run_step() {
    local mark=$1 files=$2 signature start=${SECONDS} file
    shift 2
    for file in ${files}; do [ -e "${file}" ] || die "no ${file}, which ${mark##*/} needs"; done
    # shellcheck disable=SC2086
    signature=$(printf '%q ' "$@"; echo; if [ -n "${files}" ]; then sha256sum ${files}; fi)
    if [ -f "${mark}" ] && [ "$(<"${mark}")" = "${signature}" ]; then
        log "done before: ${mark}"
        return
    fi
    rm -f "${mark}"
    mkdir -p "${mark%/*}"
    export STEP_SIGNATURE=${signature}
    "$@"
    printf '%s\n' "${signature}" > "${mark}.tmp"
    mv "${mark}.tmp" "${mark}"
    log "${mark}: $((SECONDS - start)) s"
}

# job <cmd> [JOB=1:n] <log> <command...>: on failure, show the end of a failed log.
job() {
    local command=$1 logs=$2
    [[ "$2" != JOB=* ]] || logs=${3/JOB/*}
    # shellcheck disable=SC2086
    if ! ${command} "${@:2}"; then
        local file
        for file in ${logs} ${also_log:-}; do
            [ -f "${file}" ] || continue
            if ! grep -q '^# Ended (code 0)' "${file}"; then
                echo "---- last lines of ${file}" >&2
                tail -n 15 "${file}" >&2
            fi
        done
        exit 1
    fi
}

# sharded <dir> <table> <command...>: run it on parts of the table's ids (--key_file) with
# outputs in <dir>/output.N (--output_dir).
sharded() {
    local dir=$1 table=$2 n lines keys=() i
    shift 2
    lines=$(wc -l < "${table}")
    n=$(((lines + shard_size - 1) / shard_size))
    [ "${n}" -le "${inference_nj}" ] || n=${inference_nj}
    rm -f "${dir}"/keys.*
    for i in "${dir}"/output.*; do # of more jobs than now; a job clears its own
        [ "${i##*.}" -le "${n}" ] 2> /dev/null || rm -rf "${i}"
    done
    mkdir -p "${dir}"
    for i in $(seq "${n}"); do keys+=("${dir}/keys.${i}"); done
    utils/split_scp.pl "${table}" "${keys[@]}"
    log "${lines} utterances in ${n} jobs, log: ${dir}/job.*.log"
    job "${infer_cmd}" JOB=1:"${n}" "${dir}/job.JOB.log" "$@" \
        --key_file "${dir}/keys.JOB" --output_dir "${dir}/output.JOB"
}

datadir() { "${python}" -m espnet2_taste.bin.datadir "$@"; }

# in_parallel "<function args>" ...: at most nj at once; fails when one fails.
in_parallel() {
    local line pid pids=() failed=false
    for line in "$@"; do
        while [ "$(jobs -rp | wc -l)" -ge "${nj}" ]; do sleep 0.2; done
        ( ${line} ) & pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "${pid}" || failed=true; done
    ! "${failed}" || exit 1
}

# train <dir> <module> <args...>: ESPnet training; resumes when killed, starts anew when
# the configuration changed.
train() {
    local dir=$1 module=$2 also_log=$1/train.log
    shift 2
    if [ -f "${dir}/.started" ] && [ "$(<"${dir}/.started")" != "${STEP_SIGNATURE}" ]; then
        log "configuration or data of ${dir} changed: training from the start"
        rm -rf "${dir}"
    fi
    mkdir -p "${dir}"
    printf '%s\n' "${STEP_SIGNATURE}" > "${dir}/.started"
    log "training ${dir}, log: ${dir}/train.log"
    job "utils/run.pl" "${dir}/launch.log" "${python}" -m espnet2.bin.launch \
        --cmd "${cuda_cmd}" --log "${dir}/train.log" --ngpu "${ngpu}" \
        --num_nodes "${num_nodes}" --init_file_prefix "${dir}/.dist_init_" \
        --multiprocessing_distributed true -- \
        "${python}" -m "${module}" --output_dir "${dir}" --resume true "$@"
}

# data_args <set> <train|valid> <name:file:type...>: ESPnet's data options.
data_args() {
    local set=$1 split=$2 item name file type
    for item in "${@:3}"; do
        IFS=: read -r name file type <<< "${item}"
        printf -- '--%s_data_path_and_name_and_type %s,%s,%s ' \
            "${split}" "${file/SET/${set}}" "${name}" "${type}"
    done
}
both_sets() { data_args "${train_set}" train "$@"; data_args "${valid_set}" valid "$@"; }

# tables_of <dir> <name...>: paths of these files of the training and validation sets.
tables_of() {
    local name
    for name in "${@:2}"; do echo -n "$1/${train_set}/${name} $1/${valid_set}/${name} "; done
}
