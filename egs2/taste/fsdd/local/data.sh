#!/usr/bin/env bash
# data/{train,dev,test,unseen}: sentences of three to six digits.
set -e -u -o pipefail

num_train=1500     # Sentences in data/train.
num_dev=64         # Sentences in data/dev.
num_test=96        # Sentences in data/test and in data/unseen.
unseen=theo        # Speaker of data/unseen, who is nowhere else.
seed=0             # The same seed gives the same bytes.
layout_conf=       # Further options of the layout, "name=value,...".
# shellcheck disable=SC2034
help_message="Usage: $0 [options]: connected digits of FSDD (FSDD in db.sh) into data/."

. utils/parse_options.sh
. ./path.sh
. ./db.sh
. utils/prepare_corpus.sh

layout=fsdd root=${FSDD:-}
same=(--layout_conf "seed=${seed}" --layout_conf "unseen=${unseen}")
prepare train train --layout_conf "sentences=${num_train}" "${same[@]}"
prepare dev dev --layout_conf "sentences=${num_dev}" "${same[@]}"
prepare test test --layout_conf "sentences=${num_test}" "${same[@]}"
prepare unseen unseen --layout_conf "sentences=${num_test}" "${same[@]}"
python3 -m espnet2_taste.bin.datadir disjoint --sentences --shared_speakers data/train data/{dev,test}
python3 -m espnet2_taste.bin.datadir disjoint --sentences data/train data/unseen
