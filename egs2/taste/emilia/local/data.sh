#!/usr/bin/env bash
# data/{train,dev,test} of Emilia; whole shards are held out.
set -e -u -o pipefail

language=EN        # Its code.
filter=f5          # Of pseudo-labels: f5 (F5-TTS's), espnet, none.
num_test=2000      # Utterances in dev and in test, chosen at random.
cleaner=none       # Text: with case and punctuation; lower; whisper_en.
max_hours=         # Of training data, at most; empty: all.
layout_conf=       # Further options of the layout, "name=value,...".
# shellcheck disable=SC2034
help_message="Usage: $0 [options]: Emilia (EMILIA in db.sh) into data/."

. utils/parse_options.sh
. ./path.sh
. ./db.sh
. utils/prepare_corpus.sh

layout=emilia root=${EMILIA:-}
own=(--layout_conf "language=${language}" --layout_conf "filter=${filter}")
prepare train train "${own[@]}" ${max_hours:+--max_hours "${max_hours}"}
prepare dev dev "${own[@]}" --num_utts "${num_test}"
prepare test test "${own[@]}" --num_utts "${num_test}"
python3 -m espnet2_taste.bin.datadir disjoint --shared_speakers data/train data/{dev,test} # a session may go over two shards
