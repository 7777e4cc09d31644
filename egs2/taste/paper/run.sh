#!/usr/bin/env bash
# The paper: trained on Emilia-EN and LibriTTS, tested on LibriSpeech test-clean.
set -e -u -o pipefail

exec ./taste.sh \
    --train_set train \
    --valid_set dev \
    --test_sets "test_clean" \
    --audio_format flac.ark \
    --fs 16k \
    --pretrained paper \
    --transcripts "test_clean=asr" \
    --score_args "--cleaner whisper_en" \
    "$@"
