#!/usr/bin/env bash
# Connected digits of six people: own units, own speaker encoder, no pretrained model but
# the recogniser that scores.
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
    --score_args "--cleaner whisper_en" \
    --feats_type extracted \
    --prompt "--prompt_words 2" \
    --meter_conf dnsmos.windows=1 \
    "$@"
