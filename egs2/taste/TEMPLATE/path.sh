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
# Threads that wait sleep: spinning ones take the cores that others, too, want to use.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
export PYTHONIOENCODING=UTF-8
export LC_ALL=C  # one order of ids everywhere
unset PYTHONDONTWRITEBYTECODE  # else every process compiles all it imports
# An ESPnet clone only adds: its tools (sclite), behind ours its utilities, and links to
# the folders that its scripts expect in a recipe.
if [ -n "${ESPNET_ROOT:-}" ]; then
    _asr1=${ESPNET_ROOT}/egs2/TEMPLATE/asr1
    if [ -d "${_asr1}" ]; then
        _asr1=$(cd "${_asr1}" && pwd)
        for _name in scripts pyscripts steps; do
            if [ -e "${_asr1}/${_name}" ] && { [ -L "${_name}" ] || [ ! -e "${_name}" ]; }; then
                ln -sfn "${_asr1}/${_name}" "${_name}"
            fi
        done
        export PATH="${PATH}:${_asr1}/pyscripts/utils:${_asr1}/scripts/utils"
        if [ -f "${ESPNET_ROOT}/tools/extra_path.sh" ]; then
            . "${ESPNET_ROOT}/tools/extra_path.sh"
        fi
    else
        echo "path.sh: ESPNET_ROOT=${ESPNET_ROOT} is no clone of ESPnet: nothing of it is used" >&2
    fi
    unset _asr1 _name
fi
unset _here
# What only this machine or recipe needs: module load, conda activate.
if [ -f local/path.sh ]; then . local/path.sh; fi
