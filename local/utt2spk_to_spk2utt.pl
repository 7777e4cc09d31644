#!/usr/bin/env bash
# As Kaldi's: utt2spk_to_spk2utt.pl data/train/utt2spk > data/train/spk2utt
exec "$(dirname "${BASH_SOURCE[0]}")/datadir.sh" utt2spk_to_spk2utt "${1:-/dev/stdin}"
