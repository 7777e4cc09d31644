#!/usr/bin/env bash
# LibriTTS, or LibriTTS-R: TASTE trained on read speech with case and punctuation.
set -e -u -o pipefail

exec ./taste.sh \
    --train_set train \
    --valid_set dev \
    --test_sets "test_clean test_other" \
    --audio_format flac \
    --fs 16k \
    --pretrained paper \
    --score_args "--cleaner whisper_en" \
    "$@"
