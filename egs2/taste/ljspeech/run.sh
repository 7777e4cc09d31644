#!/usr/bin/env bash
# LJSpeech: TASTE trained on one reader.
set -e -u -o pipefail

exec ./taste.sh \
    --train_set train \
    --valid_set dev \
    --test_sets "eval1" \
    --fs 16k \
    --pretrained paper \
    --score_args "--cleaner whisper_en" \
    "$@"
