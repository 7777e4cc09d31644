# shellcheck shell=bash disable=SC2154
# Text of a recogniser (--transcripts) and utterances that are too long (--long_utts):
# what stage 2 does besides formatting audio.

trains() { [ "$1" = "${train_set}" ] || [ "$1" = "${valid_set}" ]; } # <set>
limited() { trains "$1" || "${filter_test_sets}"; } # <set>: do limits hold for it?
# heard <set>: is its text a recogniser's (--transcripts "asr", or "<set>=asr")?
heard() {
    local word how=text
    for word in ${transcripts}; do
        if [ "${word%%=*}" = "$1" ]; then how=${word#*=}; break; fi
        [[ "${word}" = *=* ]] || how=${word}
    done
    [ "${how}" = asr ]
}
split_long() { "${python}" -m espnet2_taste.bin.split_long "$1" "$2" --max_wav_duration "${max_wav_duration}"; }
transcribe() { # <set> <folder of its audio>: only what has no text, unless all is heard
    local all=()
    if heard "$1"; then all=(--overwrite); fi
    # shellcheck disable=SC2086
    sharded "${dumpdir}/transcripts/$1" "$2/wav.scp" "${python}" -m espnet2_taste.bin.transcribe --data_dir "$2" \
        "${recogniser[@]}" ${grammar:+--grammar "${grammar}"} --device "${device}" "${all[@]}" ${transcripts_args}
    datadir merge "${dumpdir}/transcripts/$1" "${dumpdir}/transcripts/$1"
}
take_transcripts() { # <set> <folder of its audio>
    local all=()
    if ! limited "$1"; then all=(--keep_all); fi
    # shellcheck disable=SC2086
    "${python}" -m espnet2_taste.bin.take_transcripts --data_dir "$2" --transcripts "${dumpdir}/transcripts/$1" \
        --output_dir "${org}/$1" "${all[@]}" ${transcripts_filter}
}
