#!/usr/bin/env bash
# data/{train,dev,eval} of VCTK; parts differ in sentences, or in speakers.
set -e -u -o pipefail

split=sentence     # Of each speaker the last 5 sentences are eval; or: speaker.
cleaner=none       # Text: with case and punctuation; lower; whisper_en.
layout_conf=       # Further options of the layout, "name=value,...".
# shellcheck disable=SC2034
help_message="Usage: $0 [options]: VCTK (VCTK in db.sh) into data/."

. utils/parse_options.sh
. ./path.sh
. ./db.sh
. utils/prepare_corpus.sh

shared=()
[ "${split}" = speaker ] || shared=(--shared_speakers)
layout=vctk root=${VCTK:-}
for part in train dev eval; do prepare "${part}" "${part}" --layout_conf "split=${split}"; done
python3 -m espnet2_taste.bin.datadir disjoint "${shared[@]}" data/train data/{dev,eval}
