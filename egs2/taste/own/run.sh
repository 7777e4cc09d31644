#!/usr/bin/env bash
# Recordings of your own: OWN in db.sh, in any layout of bin.prepare_corpus.
set -e -u -o pipefail

exec ./taste.sh \
    --train_set train \
    --valid_set dev \
    --test_sets "test" \
    --fs 16k \
    --pretrained paper \
    --score_args "--cleaner whisper_en" \
    "$@"
