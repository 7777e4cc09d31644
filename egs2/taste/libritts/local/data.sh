#!/usr/bin/env bash
# data/{train,dev,test_clean,test_other} of LibriTTS or LibriTTS-R.
set -e -u -o pipefail

corpus=libritts     # Or libritts_r, restored.
train_parts="train-clean-100 train-clean-360"  # Also train-other-500; a list may have commas.
cleaner=none        # Text: with case and punctuation; lower; whisper_en.
max_hours=          # Of training data, at most; empty: all.
layout_conf=        # Options of the layout, "name=value,..."; complete=false takes half a corpus.
# shellcheck disable=SC2034
help_message="Usage: $0 [options]: LibriTTS (LIBRITTS or LIBRITTS_R in db.sh) into data/."

. utils/parse_options.sh
. ./path.sh
. ./db.sh
. utils/prepare_corpus.sh

place=${corpus^^} layout=${corpus}
root=${!place:-}
prepare train "${train_parts}" ${max_hours:+--max_hours "${max_hours}"}
prepare dev dev-clean
prepare test_clean test-clean
prepare test_other test-other
python3 -m espnet2_taste.bin.datadir disjoint data/train data/{dev,test_clean,test_other}
