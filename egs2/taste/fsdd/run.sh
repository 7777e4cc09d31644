#!/usr/bin/env bash
# Connected digits of six people: units, speaker encoders and aligner are trained here; a
# published Whisper scores, which hears no digits where there are none (README.md).
set -e -u -o pipefail

export TASTE_MODELS=${TASTE_MODELS:-downloads/models}
exec ./taste.sh \
    --train_set train \
    --valid_set dev \
    --test_sets "test unseen" \
    --fs 16k \
    --fast_data_opts "--num_train 96 --num_dev 4 --num_test 4" \
    --speaker_type xvector \
    --unit_type world_vq \
    --vocoder_type world_vq \
    --asr_config conf/train_asr.yaml \
    --score_asr whisper \
    --score_asr_model openai/whisper-base \
    --score_args "--cleaner digits --asr_conf dtype=auto temperature=0 max_new_tokens=6 vocabulary=conf/digits.txt" \
    --sampling_seeds "0" \
    --meters "frames speaker" \
    --meter_speaker_config conf/train_meter_speaker.yaml \
    --with_taslm false \
    --feats_type extracted \
    --encoder_cache_gib 1 \
    "$@"
