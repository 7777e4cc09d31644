#!/usr/bin/env bash
# As Kaldi's: spk2utt_to_utt2spk.pl data/train/spk2utt > data/train/utt2spk
exec "$(dirname "${BASH_SOURCE[0]}")/datadir.sh" spk2utt_to_utt2spk "${1:-/dev/stdin}"
