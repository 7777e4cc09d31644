#!/usr/bin/env bash
# The mini corpus: synthetic speech made here, no download. Writes data/{train,dev,test} and
# small test sets of spoken language models, data/testsets.
set -e -u -o pipefail

nj=2            # Number of processes.
num_train=3000  # Utterances in data/train.
num_dev=64      # Utterances in data/dev.
num_test=96     # Utterances in data/test.
num_pairs=40    # Pairs of each task in data/testsets.
seed=0          # The same seed gives the same bytes.
# shellcheck disable=SC2034
help_message="Usage: $0 [options]: speak the mini corpus into data/."

. utils/parse_options.sh
. ./path.sh

python3 local/make_corpus.py --data_dir data --num_train "${num_train}" \
    --num_dev "${num_dev}" --num_test "${num_test}" --seed "${seed}" --nj "${nj}"
python3 local/make_testsets.py --data_dir data --num_pairs "${num_pairs}" \
    --seed "${seed}"
