#!/usr/bin/env bash
# VCTK: TASTE trained on short sentences of many speakers.
set -e -u -o pipefail

exec ./taste.sh \
    --train_set train \
    --valid_set dev \
    --test_sets "eval" \
    --fs 16k \
    --pretrained paper \
    --score_args "--cleaner whisper_en" \
    "$@"
