#!/usr/bin/env bash
# The paper: trained on Emilia-EN and LibriTTS, tested on LibriSpeech test-clean.
set -e -u -o pipefail

models=${TASTE_MODELS:-downloads/models} # python -m espnet2_taste.bin.download paper
exec ./taste.sh \
    --train_set train \
    --valid_set dev \
    --test_sets "test_clean" \
    --audio_format flac.ark \
    --fs 16k \
    --units_model "${models}/CosyVoice-300M/speech_tokenizer_v1.onnx" \
    --speaker_model "${models}/CosyVoice-300M/campplus.onnx" \
    --vocoder_model "${models}/CosyVoice-300M" \
    --taste_args "--encoder_conf model=${models}/whisper-large-v3
        --aggregator_conf init_from=${models}/distil-large-v3" \
    --taslm_args "--token_model ${models}/Llama-3.2-1B --lm_conf model=${models}/Llama-3.2-1B" \
    --score_asr whisper \
    --score_asr_model "${models}/whisper-large-v3" \
    --score_args "--cleaner whisper_en" \
    "$@"
