#!/usr/bin/env bash
# TASTE-Dump: the reference's data with its units and speaker embeddings.
set -e -u -o pipefail

exec ./taste.sh \
    --train_set train \
    --valid_set dev \
    --test_sets "test" \
    --audio_format flac.ark \
    --spk_average utterance \
    --fs 16k \
    --pretrained paper \
    --score_args "--cleaner whisper_en" \
    "$@"
