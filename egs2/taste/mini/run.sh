#!/usr/bin/env bash
# The mini recipe: synthetic speech, random initial weights, CPU, no download.
set -e -u -o pipefail

sets=data/testsets
exec ./taste.sh \
    --train_set train \
    --valid_set dev \
    --test_sets test \
    --fs 16k \
    --fast_data_opts "--num_train 96 --num_dev 4 --num_test 2 --num_pairs 2" \
    --speaker_type xvector \
    --unit_type world_vq \
    --vocoder_type world_vq \
    --asr_config conf/train_asr.yaml \
    --score_asr pocketsphinx \
    --grammar data/local/grammar.jsgf \
    --continuation_grammar data/local/continuation.jsgf \
    --feats_type extracted \
    --encoder_cache_gib 1 \
    --nj 2 \
    --inference_nj 2 \
    --prompt "--prompt_words 3" \
    --meters "frames speaker" \
    --meter_speaker_config conf/train_meter_speaker.yaml \
    --testsets "salmon:salmon=${sets}/salmon tstorycloze:storycloze=${sets}/tstorycloze
        sblimp:sblimp=${sets}/sblimp web_questions:web_questions=${sets}/web_questions" \
    "$@"
