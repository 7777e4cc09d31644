#!/usr/bin/env bash
# Faults, by hand (10 minutes, not in CI): the fast mini recipe is killed at random
# moments, disks fill up while every program writes, two runs work in one folder. In the
# end all files are those of an undisturbed run and no process is left; else exit status 1.
#   bash benchmarks/faults.sh [--minutes 10] [--seed 0] [--reference <folder>] [--work <folder>]
set -e -u -o pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="${root}${PYTHONPATH:+:${PYTHONPATH}}" OMP_NUM_THREADS=1
exec "${PYTHON:-python3}" "${root}/benchmarks/faults.py" "$@"
