#!/usr/bin/env bash
# The mini recipe: synthetic speech, random initial weights, CPU, no download.
set -e -u -o pipefail

./taste.sh \
    --train_set train \
    --valid_set dev \
    --test_sets test \
    --grammar data/local/grammar.jsgf \
    --continuation_grammar data/local/continuation.jsgf \
    --feats_type extracted \
    --nj 2 \
    --inference_nj 2 \
    --taslm_inference_args "--prompt_words 3" \
    "$@"
