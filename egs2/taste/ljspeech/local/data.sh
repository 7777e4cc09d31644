#!/usr/bin/env bash
# data/{train,dev,eval1} of LJSpeech, divided as ESPnet divides it.
set -e -u -o pipefail

cleaner=none       # Text: with case and punctuation; lower; whisper_en.
layout_conf=       # Options of the layout, "name=value,..."; complete=false takes half a corpus.
# shellcheck disable=SC2034
help_message="Usage: $0 [options]: LJSpeech (LJSPEECH in db.sh) into data/."

. utils/parse_options.sh
. ./path.sh
. ./db.sh
. utils/prepare_corpus.sh

layout=ljspeech root=${LJSPEECH:-}
for part in train dev eval1; do prepare "${part}" "${part}"; done
python3 -m espnet2_taste.bin.datadir disjoint --shared_speakers data/train data/{dev,eval1}
