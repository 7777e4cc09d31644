# shellcheck shell=bash disable=SC2154
# What the stages share: messages, steps that are skipped when done, jobs with logs,
# sharding, ESPnet training and its data options. Uses options of options.sh.

log() {
    local stamp; stamp=$(date '+%Y-%m-%dT%H:%M:%S')
    echo "${stamp} (${BASH_SOURCE[1]##*/}:${BASH_LINENO[0]}:${FUNCNAME[1]}) $*"
}
die() { echo "$0: error: $*" >&2; exit 1; }

active() { [ "${stage}" -le "$1" ] && [ "${stop_stage}" -ge "$1" ] && [[ " ${skip_stages} " != *" $1 "* ]]; }
# run_stage <number> <title>: the function stage_<number>, if it is asked for.
run_stage() {
    local start=${SECONDS}
    active "$1" || return 0
    log "stage $1: $2"
    "stage_$1"
    log "stage $1: done in $((SECONDS - start)) s"
}

# need <file> <stage>: fail with the stage that makes a missing file.
need() { [ -e "$1" ] || die "no $1: run stage $2 first (--stage $2)"; }
# there <file...>: those that are
there() {
    local file found=()
    for file in "$@"; do if [ -e "${file}" ]; then found+=("${file}"); fi; done
    echo "${found[*]}"
}

# run_step <mark> "<inputs>" "<outputs>" <command...>: skipped when it ended before with
# this command line, and with these contents of inputs and outputs (mark.py says which).
# The mark is written last, so a kill leaves none.
run_step() {
    local start=${SECONDS}
    STEP_SIGNATURE=$(python3 -I utils/mark.py todo "$@")
    if [ -z "${STEP_SIGNATURE}" ]; then log "done before: $1"; return; fi
    export STEP_SIGNATURE  # sharded programs go on with what was made under the same
    "${@:4}"
    python3 -I utils/mark.py finish "$1"
    log "$1: $((SECONDS - start)) s"
}

# job <cmd> [JOB=1:n] <log> <command...>: on failure, show the end of a failed log.
job() {
    local command=$1 logs=$2
    if [[ "$2" =~ ^([A-Z]+)=[0-9] ]]; then logs=${3//${BASH_REMATCH[1]}/*}; fi
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
# outputs in <dir>/output.N (--output_dir), which only the command clears: it goes on
# where it was killed (espnet2_taste/io/shards.py).
sharded() {
    local dir=$1 table=$2 n lines keys=() i job=JOB
    shift 2
    while [[ "${dir} $*" = *"${job}"* ]]; do job+=B; done # no word has it
    lines=$(wc -l < "${table}")
    n=$(((lines + shard_size - 1) / shard_size))
    [ "${n}" -le "${inference_nj}" ] || n=${inference_nj}
    mkdir -p "${dir}/log"
    for i in $(seq "${n}"); do keys+=("${dir}/keys.${i}"); done
    for i in "${dir}"/keys.*; do # of an earlier run in more parts
        [[ " ${keys[*]} " = *" ${i} "* ]] || rm -rf "${i}" "${i/keys/output}"
    done
    utils/split_scp.pl "${table}" "${keys[@]}"
    log "${lines} utterances in ${n} jobs, log: ${dir}/log/job.*.log"
    job "${infer_cmd}" "${job}=1:${n}" "${dir}/log/job.${job}.log" "$@" \
        --key_file "${dir}/keys.${job}" --output_dir "${dir}/output.${job}"
}

# on_cpus <log> <command...>: with nj processes; on a cluster in a job, for this host
# submits only
on_cpus() {
    if [[ "${train_cmd}" = *run.pl* ]]; then "${@:2}"; return; fi
    log "log: $1"
    job "${train_cmd} --num_threads ${nj}" "$@"
}

datadir() { "${python}" -m espnet2_taste.bin.datadir "$@"; }

# background <function> <args...>: at most nj at once; then wait_for_all, which fails
# when one failed. Their ends are noted as they come: after hours another process may
# have the number of one that ended, and its status be forgotten.
# shellcheck disable=SC2030,SC2031
background() {
    note_ended
    while [ "${#background_pids[@]}" -ge "${nj}" ]; do sleep 0.2; note_ended; done
    ( background_pids=() background_failed=false; "$@" ) &
    background_pids+=($!)
}
background_pids=() background_failed=false
# shellcheck disable=SC2031
note_ended() {
    local pid running=()
    for pid in "${background_pids[@]}"; do
        if kill -0 "${pid}" 2> /dev/null; then running+=("${pid}")
        else wait "${pid}" || background_failed=true; fi
    done
    background_pids=("${running[@]}")
}
# shellcheck disable=SC2031
wait_for_all() {
    local pid failed=${background_failed}
    for pid in "${background_pids[@]}"; do wait "${pid}" || failed=true; done
    background_pids=() background_failed=false
    ! "${failed}" || exit 1
}

# merged <config>: a copy with what its `base:` says, too, whose content tells whether the
# configuration changed.
merged() {
    local copy=${expdir}/conf/${1//\//_}
    "${python}" -m espnet2_taste.bin.config "$1" --output "${copy}"
    echo "${copy}"
}

# train <dir> "<data files>" <module> <args...>: ESPnet training. It resumes; what the
# configuration says may change only where that means no other model (the program knows),
# the data not at all: an experiment is deleted by --overwrite alone.
train() {
    local dir=$1 module=$3 also_log=$1/train.log changed
    if [ -f "${dir}/.started" ] && [ "$(<"${dir}/.started")" != "${STEP_SIGNATURE}" ]; then
        if "${overwrite}" || { [ -f "${dir}/.fast" ] && ! "${fast}"; }; then
            log "configuration or data of ${dir} changed: training from the start"
            find "${dir}" -mindepth 1 ! -name '.done.started' -delete
        fi
    fi
    mkdir -p "${dir}"
    [ -f "${dir}/checkpoint.pth" ] || rm -f "${dir}/.data" # nothing to lose
    changed=$(python3 -I utils/mark.py guard "${dir}/.data" "$2")
    [ -z "${changed}" ] || die "${dir} was trained with other contents of ${changed}:" \
        "train into a new folder (--tag new) or start again (--overwrite true)"
    printf '%s\n' "${STEP_SIGNATURE}" > "${dir}/.started"
    if "${fast}"; then touch "${dir}/.fast"; fi
    log "training ${dir}, log: ${dir}/train.log"
    job "utils/run.pl" "${dir}/launch.log" "${python}" -m espnet2.bin.launch \
        --cmd "${cuda_cmd}" --log "${dir}/train.log" --ngpu "${ngpu}" \
        --num_nodes "${num_nodes}" --init_file_prefix "${dir}/.dist_init_" \
        --multiprocessing_distributed true -- \
        "${python}" -m "${module}" --output_dir "${dir}" --resume true "${@:4}"
}

# Data of a training: items "name:folder:file:type" stand for <folder>/<set>/<file>.
# data_args <train|valid> <set> <item...>: ESPnet's options
data_args() {
    local item name dir file type
    for item in "${@:3}"; do
        IFS=: read -r name dir file type <<< "${item}"
        printf -- '--%s_data_path_and_name_and_type %s,%s,%s ' "$1" "${dir}/$2/${file}" "${name}" "${type}"
    done
}
# both_sets <item...>: of training and validation
both_sets() { data_args train "${train_set}" "$@"; data_args valid "${valid_set}" "$@"; }
# files_of <item...>: the files of both sets
files_of() {
    local item dir file
    for item in "$@"; do
        IFS=: read -r _ dir file _ <<< "${item}"
        echo -n "${dir}/${train_set}/${file} ${dir}/${valid_set}/${file} "
    done
}
# with_shapes <shape> <item...>: both_sets and the lengths of stage 4; of the training
# set, the parts that split_tables made
with_shapes() {
    local item parts=() name type
    if [ "${num_splits}" -gt 1 ]; then
        for item in "${@:2}"; do
            IFS=: read -r name _ file type <<< "${item}"
            parts+=("${name}:${splits%/*}:${file}:${type}")
        done
        echo -n "--multiple_iterator true --train_shape_file ${splits}/$1 "
        data_args train "${splits##*/}" "${parts[@]}"
    else
        echo -n "--train_shape_file ${expdir}/stats/${train_set}/$1 "
        data_args train "${train_set}" "${@:2}"
    fi
    echo -n "--valid_shape_file ${expdir}/stats/${valid_set}/$1 "
    data_args valid "${valid_set}" "${@:2}"
}
# split_tables <shape> <item...>: those of the training set, in num_splits parts
split_tables() {
    local item dir file files=() made=() lines
    if [ "${num_splits}" -le 1 ]; then
        IFS=: read -r _ dir file _ <<< "$2"
        lines=$(cat "${dir}/${train_set}/${file}" 2> /dev/null | wc -l)
        [ "${lines}" -lt 1000000 ] || log "${lines} utterances take about" \
            "$((lines * 3 / 2000000)) GiB in each training process, --num_splits $((lines / 125000)) little more than 1"
        return 0
    fi
    for item in "${@:2}"; do
        IFS=: read -r _ dir file _ <<< "${item}"
        files+=("${dir}/${train_set}/${file}") made+=("${splits}/${file}")
    done
    files+=("${expdir}/stats/${train_set}/$1") made+=("${splits}/$1")
    run_step "${splits}/.done" "${files[*]}" "${made[*]}" \
        "${python}" -m espnet2.bin.split_scps --num_splits "${num_splits}" --output_dir "${splits}" --scps "${files[@]}"
    cp "${raw}/${train_set}/unit_spec.yaml" "${splits}/" # as beside units.scp
}
# tables_of <dir> <name...>: paths of these files of the training and validation sets.
tables_of() {
    local name
    for name in "${@:2}"; do echo -n "$1/${train_set}/${name} $1/${valid_set}/${name} "; done
}
