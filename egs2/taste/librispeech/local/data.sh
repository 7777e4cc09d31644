#!/usr/bin/env bash
# data/{train,dev,test_clean,test_other} of LibriSpeech, in lower case.
set -e -u -o pipefail

train_parts="train-clean-100 train-clean-360"  # Also train-other-500; a list may have commas.
cleaner=lower      # Text: lower; none leaves it in upper case.
max_hours=         # Of training data, at most; empty: all.
# shellcheck disable=SC2034
help_message="Usage: $0 [options]: LibriSpeech (LIBRISPEECH in db.sh) into data/."

. utils/parse_options.sh
. ./path.sh
. ./db.sh

prepare() { # <set> <parts> [<option>...]
    # shellcheck disable=SC2086
    python3 -m espnet2_taste.bin.prepare_corpus --layout librispeech --root "${LIBRISPEECH:-}" --output_dir "data/$1" \
        --parts ${2//,/ } --cleaner "${cleaner}" "${@:3}"
}
prepare train "${train_parts}" ${max_hours:+--max_hours "${max_hours}"}
prepare dev dev-clean
prepare test_clean test-clean
prepare test_other test-other
python3 -m espnet2_taste.bin.datadir disjoint data/train data/{dev,test_clean,test_other}
