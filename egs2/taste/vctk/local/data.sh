#!/usr/bin/env bash
# data/{train,dev,eval} of VCTK; parts differ in sentences, or in speakers.
set -e -u -o pipefail

split=sentence     # Of each speaker the last 5 sentences are eval; or: speaker.
cleaner=none       # Text: with case and punctuation; lower; whisper_en.
# shellcheck disable=SC2034
help_message="Usage: $0 [options]: VCTK (VCTK in db.sh) into data/."

. utils/parse_options.sh
. ./path.sh
. ./db.sh

prepare() { # <set> <parts> [<option>...]
    # shellcheck disable=SC2086
    python3 -m espnet2_taste.bin.prepare_corpus --layout vctk --root "${VCTK:-}" --output_dir "data/$1" \
        --parts ${2//,/ } --cleaner "${cleaner}" "${@:3}" \
        --layout_conf "split=${split}"
}
shared=()
[ "${split}" = speaker ] || shared=(--shared_speakers)
for part in train dev eval; do prepare "${part}" "${part}"; done
python3 -m espnet2_taste.bin.datadir disjoint "${shared[@]}" data/train data/{dev,eval}
