#!/usr/bin/env bash
# data/{train,dev,test} of TASTE-Dump, with units and speaker embeddings.
set -e -u -o pipefail

num_test=2000      # Utterances in dev and in test, chosen at random.
cleaner=none       # Text: with case and punctuation; lower; whisper_en.
max_hours=         # Of training data, at most; empty: all.
layout_conf=       # Further options of the layout, "name=value,...".
# shellcheck disable=SC2034
help_message="Usage: $0 [options]: TASTE-Dump (TASTE_DUMP in db.sh) into data/."

. utils/parse_options.sh
. ./path.sh
. ./db.sh
. utils/prepare_corpus.sh

layout=taste_dump root=${TASTE_DUMP:-}
prepare train train ${max_hours:+--max_hours "${max_hours}"}
prepare dev dev --num_utts "${num_test}"
prepare test test --num_utts "${num_test}"
python3 -m espnet2_taste.bin.datadir disjoint --shared_speakers data/train data/{dev,test} # a session may go over two shards
