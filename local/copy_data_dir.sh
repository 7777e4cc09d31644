#!/usr/bin/env bash
# As Kaldi's: copy_data_dir.sh [--utt-prefix P] [--spk-prefix P] [--utt-suffix S] [--spk-suffix S]
#     data/train data/copy
# Recordings of segments keep their names.
set -e -u -o pipefail
options=()
while [[ "${1:-}" = --* ]]; do
    case "$1" in
        --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
        --validate-opts) shift 2 ;;
        *) name=${1#--}; options+=("--${name//-/_}=$2"); shift 2 ;;
    esac
done
[ $# -eq 2 ] || { echo "Usage: $0 [options] <srcdir> <destdir>" >&2; exit 1; }
exec "$(dirname "${BASH_SOURCE[0]}")/datadir.sh" copy "${options[@]}" "$1" "$2"
