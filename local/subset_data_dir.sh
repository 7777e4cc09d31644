#!/usr/bin/env bash
# As Kaldi's: subset_data_dir.sh [--first|--last|--shortest|--speakers|--per-spk] data/train N data/some
#   (without an option: N utterances, evenly spread)
# or: subset_data_dir.sh [--utt-list FILE|--spk-list FILE] data/train data/some
set -e -u -o pipefail
datadir=$(dirname "${BASH_SOURCE[0]}")/datadir.sh
case "${1:-}" in
    --utt-list) exec "${datadir}" subset "$3" "$4" --allow_missing --key_file "$2" ;;
    --spk-list) exec "${datadir}" subset "$3" "$4" --spk_list "$2" ;;
    --first | --last | --shortest | --speakers) which=$1; shift ;;
    --per-spk) which=--per_spk; shift ;;
    *) which=--spread ;;
esac
[ $# -eq 3 ] || { echo "Usage: $0 [--first|--last|--shortest|--speakers|--per-spk] <srcdir> <num-utt> <destdir>" >&2; exit 1; }
exec "${datadir}" subset "$1" "$3" "${which}" "$2"
