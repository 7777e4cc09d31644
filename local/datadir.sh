#!/usr/bin/env bash
# python -m espnet2_taste.bin.datadir, of this repository: does the work of Kaldi's utils.
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
PYTHONPATH="${root}${PYTHONPATH:+:${PYTHONPATH}}" exec "${python:-python3}" -m espnet2_taste.bin.datadir "$@"
