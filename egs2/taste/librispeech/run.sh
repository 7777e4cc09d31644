#!/usr/bin/env bash
# LibriSpeech: TASTE trained on read speech with lower-case text.
set -e -u -o pipefail

export TASTE_MODELS=${TASTE_MODELS:-downloads/models} # filled by bin.download paper
exec ./taste.sh \
    --train_set train \
    --valid_set dev \
    --test_sets "test_clean test_other" \
    --audio_format flac \
    --fs 16k \
    --units_model "${TASTE_MODELS}/CosyVoice-300M/speech_tokenizer_v1.onnx" \
    --speaker_model "${TASTE_MODELS}/CosyVoice-300M/campplus.onnx" \
    --vocoder_model "${TASTE_MODELS}/CosyVoice-300M" \
    --score_asr whisper \
    --score_asr_model openai/whisper-large-v3 \
    --score_args "--cleaner whisper_en" \
    "$@"
