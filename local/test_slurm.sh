#!/usr/bin/env bash
# The fast mini recipe on a real Slurm of one node, started here: `make test-slurm`.
# A job is cancelled in the middle; the restarted recipe must give the scores of a run
# without Slurm. Needs Debian's slurm-wlm and munge, and root (to start daemons).
set -e -u -o pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export VIRTUAL_ENV=${VIRTUAL_ENV:-${root}/.venv}
export PATH=${VIRTUAL_ENV}/bin:${PATH}
work=${1:-$(mktemp -d)} # Recipe copies and Slurm's files; kept.
mkdir -p "${work}/daemons" && cd "${work}/daemons"
for program in munged slurmctld slurmd sbatch scancel; do
    command -v "${program}" > /dev/null || {
        echo "no ${program}: apt install slurm-wlm munge" >&2
        exit 1
    }
done

mkdir -p state spool
chmod 755 "${work}" .
host=$(hostname -s)
cat > slurm.conf << EOF
ClusterName=test
SlurmctldHost=${host}(127.0.0.1)
SlurmUser=root
AuthInfo=socket=${PWD}/munge.socket
SlurmctldPort=26817
SlurmdPort=26818
StateSaveLocation=${PWD}/state
SlurmdSpoolDir=${PWD}/spool
SlurmctldPidFile=${PWD}/slurmctld.pid
SlurmdPidFile=${PWD}/slurmd.pid
SlurmctldLogFile=${PWD}/slurmctld.log
SlurmdLogFile=${PWD}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName=${host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000
PartitionName=test Nodes=ALL Default=YES State=UP
EOF
export SLURM_CONF=${PWD}/slurm.conf
(umask 077 && head -c 1024 /dev/urandom > munge.key)
munged --force --key-file="${PWD}/munge.key" --socket="${PWD}/munge.socket" \
    --pid-file="${PWD}/munged.pid" --log-file="${PWD}/munged.log" --seed-file="${PWD}/munge.seed"
stop() {
    scancel --me 2> /dev/null || true
    for daemon in slurmd slurmctld munged; do
        pkill -F "${work}/daemons/${daemon}.pid" 2> /dev/null || true
    done
}
trap stop EXIT
slurmctld
slurmd
for _ in {1..30}; do
    if sinfo -h -o %t | grep -q idle; then break; fi
    sleep 1
done
sinfo

# recipe <name> <backend> <options...>: the fast mini recipe in a copy of the repository
recipe() {
    [ -d "${work}/$1" ] || git clone -q "${root}" "${work}/$1"
    cd "${work}/$1/egs2/taste/mini"
    cmd_backend=$2 ./run.sh --fast true --nj 2 --inference_nj 2 --stop_stage 9 "${@:3}"
}
log=${work}/slurm.log
: > "${log}"
(recipe slurm slurm) > "${log}" 2>&1 &
run=$!
until grep -q 'stage 5: ' "${log}" && squeue -h -o %T | grep -q RUNNING; do
    kill -0 "${run}" || { tail "${log}"; exit 1; }
    sleep 1
done
sleep 3 # in the middle of a training: it takes some ten seconds
squeue
scancel --me
if wait "${run}"; then echo "the recipe went on without its cancelled job" >&2; exit 1; fi
grep -E 'ended without task|failed' "${log}" | head -n 3
(recipe slurm slurm) >> "${log}" 2>&1 || { tail "${log}"; exit 1; }
grep -E 'stage [0-9]+: done|finished' "${log}"
(recipe here local) > "${work}/here.log" 2>&1 || { tail "${work}/here.log"; exit 1; }
python3 - "${work}"/{slurm,here}/egs2/taste/mini/exp/scores/test/results.json << 'EOF'
import json, sys

def numbers(value, path=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            if "rtf" not in key:
                yield from numbers(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from numbers(inner, f"{path}/{i}")
    elif isinstance(value, (int, float)):
        yield path, value

one, two = (dict(numbers(json.load(open(path)))) for path in sys.argv[1:])
differ = {k for k in one.keys() | two.keys() if one.get(k) != two.get(k)}
print(f"{len(one)} numbers on Slurm and here, {len(differ)} differ")
for key in sorted(differ)[:10]:
    print(key, one.get(key), two.get(key))
sys.exit(bool(differ) or not one)
EOF
