#!/usr/bin/env bash
# data/{train,dev,test} of recordings of your own.
set -e -u -o pipefail

layout=folder      # What lies there: folder, huggingface, lhotse ... (bin.prepare_corpus --help).
layout_conf=       # Its options, "name=value,...".
train_part=train   # Its parts; folder: divided by a digest of the id, if there are none.
dev_part=dev       # Likewise.
test_part="test"   # Likewise.
cleaner=none       # Text: as it is; lower; whisper_en.
no_text=false      # true: recordings without text are taken, too (./run.sh --transcripts asr).
# shellcheck disable=SC2034
help_message="Usage: $0 [options]: your recordings (OWN in db.sh) into data/."

. utils/parse_options.sh
. ./path.sh
. ./db.sh
. utils/prepare_corpus.sh

root=${OWN:-}
options=()
if "${no_text}"; then options+=(--no_text); fi
prepare train "${train_part}" "${options[@]}"
prepare dev "${dev_part}" "${options[@]}"
prepare test "${test_part}" "${options[@]}"
python3 -m espnet2_taste.bin.datadir disjoint --shared_speakers data/train data/{dev,test}
