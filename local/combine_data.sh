#!/usr/bin/env bash
# As Kaldi's: combine_data.sh [--extra-files "..."] [--skip-fix true] data/all data/a data/b
# Files that not all have are left out.
set -e -u -o pipefail
while [[ "${1:-}" = --* ]]; do shift 2; done
[ $# -ge 2 ] || { echo "Usage: $0 <dest-data-dir> <src-data-dir1> ..." >&2; exit 1; }
exec "$(dirname "${BASH_SOURCE[0]}")/datadir.sh" combine "${@:2}" --target "$1"
