#!/usr/bin/env bash
# The Python interpreters here that espnet2_taste runs on, newest first, each as
# "<version> <path>": on PATH or pyenv's, and able to make virtual environments.
set -u

for version in 3.13 3.12 3.11 3.10; do
    # A name on PATH may be pyenv's shim for a version that is not switched on: ask it.
    for python in "python${version}" "${PYENV_ROOT:-${HOME}/.pyenv}/versions/${version}".*/bin/python; do
        if path=$("${python}" -c 'import ensurepip, sys, venv; print(sys.executable)' 2> /dev/null); then
            echo "${version} ${path}"
            break
        fi
    done
done
