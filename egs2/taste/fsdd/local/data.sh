#!/usr/bin/env bash
# data/{train,dev,test,unseen}: sentences of three to six digits.
set -e -u -o pipefail

num_train=1500     # Sentences in data/train.
num_dev=64         # Sentences in data/dev.
num_test=96        # Sentences in data/test and in data/unseen.
unseen=theo        # Speaker of data/unseen, who is nowhere else.
seed=0             # The same seed gives the same bytes.
# shellcheck disable=SC2034
help_message="Usage: $0 [options]: connected digits of FSDD (FSDD in db.sh) into data/."

. utils/parse_options.sh
. ./path.sh
. ./db.sh

prepare() { # <set> <sentences>
    python3 -m espnet2_taste.bin.prepare_corpus --layout fsdd --root "${FSDD:-}" --output_dir "data/$1" --parts "$1" \
        --layout_conf "sentences=$2" --layout_conf "seed=${seed}" --layout_conf "unseen=${unseen}"
}
prepare train "${num_train}"
prepare dev "${num_dev}"
prepare test "${num_test}"
prepare unseen "${num_test}"
python3 -m espnet2_taste.bin.datadir disjoint --sentences --shared_speakers data/train data/{dev,test}
python3 -m espnet2_taste.bin.datadir disjoint --sentences data/train data/unseen
