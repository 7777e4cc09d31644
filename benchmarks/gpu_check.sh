#!/usr/bin/env bash
# Does the product work on this GPU machine, and how fast? See README.md beside this file.
usage="Usage: $0 [options]

A line per step as it ends; then a table, which DIR/gpu_check.{md,json} keep beside
DIR/gpu_check.log. Goes on after a failure; exit status 1 if a step is not ok.

  --device cuda|cpu   where (default: cuda)
  --tiny              small sizes, few tests: minutes on a CPU: does the check itself run?
  --minutes N         for everything (default: 8)
  --output DIR        default: \$OUT, or a new temporary folder
  --python COMMAND    default: python3
  --steps FILE        other steps, a line each: name <tab> seconds at most <tab> command
"
set -u -o pipefail

device=cuda tiny=false minutes=8 output=${OUT:-} python=python3 steps=
while [ $# -gt 0 ]; do
    case $1 in
        --tiny) tiny=true ;;
        --device | --minutes | --output | --python | --steps)
            [ $# -gt 1 ] || { echo "$1 needs a value" >&2; exit 2; }
            declare "${1#--}=$2"
            shift ;;
        --help) echo "${usage}"; exit ;;
        *) echo "unknown option $1"$'\n'"${usage}" >&2; exit 2 ;;
    esac
    shift
done
end=$(($(date +%s) + minutes * 60))
[ -z "${steps}" ] || steps=$(realpath "${steps}")
output=$(realpath "${output:-$(mktemp -d)}")
mkdir -p "${output}"
cd "$(dirname "$0")/.." || exit 2

work=$(mktemp -d) # logs and rows of each step: few files may come back from elsewhere
trap 'rm -rf "${work}"' EXIT
export PYTHONPATH=${PWD}:${PYTHONPATH:-} PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
export TASTE_TEST_DEVICE=${device} PYTEST_TIMEOUT=${PYTEST_TIMEOUT:-100}
export python work device

# name, seconds at most, command: what is cheap and tells most comes first
plan() {
    local run="\${python} -m benchmarks.run --device ${device}" config=paper all="" workers=""
    local pytest="\${python} -m pytest -q --tb=short -rfE -p no:cacheprovider"
    local parity=tests/parity resume="tests/tasks -k 'resumed or processes'"
    if ${tiny}; then
        config=tiny all=" --only kernels,units"
        parity="tests/parity/test_parity_extract_vq.py -k golden"
        resume="tests/tasks/test_taslm_task.py -k resumed"
    elif [ "$(nproc)" -ge 8 ]; then
        workers=" -n 8"
    fi
    cat <<PLAN
imports	90	\${python} -m benchmarks.imports --device ${device} --output \${work}/imports.json
tests	90	${pytest} -m gpu \$(grep -rl --include='test_*.py' 'mark[.]gpu' tests)
tiny	90	${run} --config tiny --repeats 1${all} --output \${work}/tiny.json
parity	150	OMP_NUM_THREADS=2 ${pytest}${workers} ${parity}
precision	75	${run} --config ${config} --only precision --output \${work}/precision.json
training	100	${run} --config ${config} --only training --output \${work}/training.json
resume	120	OMP_NUM_THREADS=2 ${pytest}${workers} ${resume}
realtime	100	${run} --config ${config} --only realtime --output \${work}/realtime.json
streaming	75	${run} --config ${config} --only streaming --output \${work}/streaming.json
fit	120	${run} --config ${config} --only fit --seconds \$((limit > 60 ? limit - 40 : limit / 2)) --output \${work}/fit.json
PLAN
}

# last lines of what a failed step wrote
show_end() {
    sed 's/^/    /' <(grep -v '^ *$' "${work}/$1.out" | tail -n 15) <(tail -n 15 "${work}/$1.err")
}

failed=0
while IFS=$'\t' read -r name limit command; do
    left=$((end - $(date +%s) - 3))
    ! ${tiny} || limit=$((3 * limit)) # whoever tries the check does other things beside
    export limit=$((limit < left ? limit : left))
    start=$(date +%s)
    touch "${work}/${name}.out" "${work}/${name}.err"
    if [ "${left}" -lt 5 ]; then
        status=skipped code=1 fact="no time left"
    else
        timeout --kill-after=3 "${limit}" bash -c "${command}" \
            > "${work}/${name}.out" 2> "${work}/${name}.err" < /dev/null
        code=$?
        case ${code} in
            0) status=ok ;;
            124 | 137) status=timeout ;;
            *) status=FAILED ;;
        esac
        fact=$(grep -v '^ *$' "${work}/${name}.out" | tail -n 1 | tr '\t' ' ' | sed 's/^=* *//; s/ *=*$//')
    fi
    seconds=$(($(date +%s) - start))
    printf '%-10s %-8s %4d s  %s\n' "${name}" "${status}" "${seconds}" "${fact}"
    printf '%s\t%s\t%d\t%s\n' "${name}" "${status}" "${seconds}" "${fact}" >> "${work}/steps.tsv"
    {
        echo "=== ${name}: ${command}"
        cat "${work}/${name}.out" "${work}/${name}.err"
    } >> "${output}/gpu_check.log"
    if [ "${code}" -ne 0 ]; then
        failed=1
        show_end "${name}"
    fi
    "${python}" -m benchmarks.collect "${work}" "${output}" || failed=1 # so far
done < <(if [ -n "${steps}" ]; then cat "${steps}"; else plan; fi)

echo
cat "${output}/gpu_check.md"
echo "${output}/gpu_check.md, gpu_check.json, gpu_check.log"
exit "${failed}"
