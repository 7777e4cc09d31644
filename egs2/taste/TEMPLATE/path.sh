# shellcheck shell=bash
# Environment of every recipe; recipe folders link to this file.
_here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
TASTE_ROOT=$(cd "${_here}/../../.." && pwd)
export TASTE_ROOT
if [ -z "${VIRTUAL_ENV:-}" ] && [ -f "${TASTE_ROOT}/.venv/bin/activate" ]; then
    . "${TASTE_ROOT}/.venv/bin/activate"
fi
export PYTHONPATH="${TASTE_ROOT}${PYTHONPATH:+:${PYTHONPATH}}"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export PYTHONIOENCODING=UTF-8
export LC_ALL=C  # one order of ids everywhere
unset PYTHONDONTWRITEBYTECODE  # else every process compiles all it imports
# An ESPnet clone only adds: its tools (sclite) and, behind ours, its utilities.
if [ -n "${ESPNET_ROOT:-}" ]; then
    if [ -f "${ESPNET_ROOT}/tools/extra_path.sh" ]; then
        . "${ESPNET_ROOT}/tools/extra_path.sh"
    fi
    export PATH="${PATH}:${ESPNET_ROOT}/egs2/TEMPLATE/asr1/pyscripts/utils:${ESPNET_ROOT}/egs2/TEMPLATE/asr1/scripts/utils"
fi
unset _here
# What only this machine or recipe needs: module load, conda activate.
if [ -f local/path.sh ]; then . local/path.sh; fi
