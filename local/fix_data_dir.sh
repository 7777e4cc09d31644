#!/usr/bin/env bash
# As Kaldi's: fix_data_dir.sh [--utt-extra-files "..."] [--spk-extra-files "..."] data/train
# Sorts, and keeps the utterances that all files have; other tables (*.scp) come along.
set -e -u -o pipefail
while [[ "${1:-}" = --* ]]; do shift 2; done
[ $# -eq 1 ] || { echo "Usage: $0 <data-dir>" >&2; exit 1; }
exec "$(dirname "${BASH_SOURCE[0]}")/datadir.sh" fix "$1"
