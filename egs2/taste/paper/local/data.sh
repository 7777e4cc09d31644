#!/usr/bin/env bash
# data/{train,dev,test_clean}: Emilia-EN and LibriTTS; LibriSpeech test-clean.
set -e -u -o pipefail

libritts_parts="train-clean-100 train-clean-360 train-other-500"  # Of LibriTTS; a list may have commas.
filter=f5          # Of Emilia's pseudo-labels: f5 (F5-TTS's), espnet, none.
num_dev=2000       # Utterances in data/dev, of Emilia's held-out shards.
max_hours=         # Of each training corpus, at most; empty: all.
layout_conf=       # Options of LibriTTS and LibriSpeech, "name=value,..."; complete=false takes half of them.
# shellcheck disable=SC2034
help_message="Usage: $0 [options]: the paper's data (EMILIA, LIBRITTS, LIBRISPEECH in db.sh) into data/."

. utils/parse_options.sh
. ./path.sh
. ./db.sh
. utils/prepare_corpus.sh

few=(${max_hours:+--max_hours "${max_hours}"})
emilia=(--layout_conf "filter=${filter}")
# The largest last: a folder that is not there shows at once.
layout=librispeech root=${LIBRISPEECH:-} prepare test_clean test-clean --cleaner lower
layout=libritts root=${LIBRITTS:-} prepare local/libritts "${libritts_parts}" "${few[@]}"
layout_conf='' layout=emilia root=${EMILIA:-} prepare dev dev --num_utts "${num_dev}" "${emilia[@]}"
layout_conf='' layout=emilia root=${EMILIA:-} prepare local/emilia train "${emilia[@]}" "${few[@]}"
python3 -m espnet2_taste.bin.datadir combine data/local/{emilia,libritts} --target data/train
python3 -m espnet2_taste.bin.datadir disjoint data/train data/test_clean
python3 -m espnet2_taste.bin.datadir disjoint --shared_speakers data/train data/dev # a session may go over two shards
