#!/usr/bin/env bash
# As Kaldi's: validate_data_dir.sh [--no-feats] [--no-text] [--no-wav] [--non-print]
#     [--no-spk-sort] data/train
# Fails with one line on the first thing wrong. Only --no-text changes what is looked at.
set -e -u -o pipefail
options=()
while [[ "${1:-}" = --* ]]; do
    [ "$1" != --no-text ] || options+=(--no_text)
    shift
done
[ $# -eq 1 ] || { echo "Usage: $0 [--no-text] <data-dir>" >&2; exit 1; }
exec "$(dirname "${BASH_SOURCE[0]}")/datadir.sh" validate "${options[@]}" "$1"
