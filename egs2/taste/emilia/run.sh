#!/usr/bin/env bash
# Emilia (EN): TASTE trained on speech of the web, with pseudo-labels.
set -e -u -o pipefail

exec ./taste.sh \
    --train_set train \
    --valid_set dev \
    --test_sets "test" \
    --audio_format flac.ark \
    --fs 16k \
    --pretrained paper \
    --score_args "--cleaner whisper_en" \
    "$@"
