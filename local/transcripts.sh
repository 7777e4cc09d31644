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
split_long() { # <source> <target>
    on_cpus "${dumpdir}/log/split_long.${2##*/}.log" "${python}" -m espnet2_taste.bin.split_long \
        "$1" "$2" --max_wav_duration "${max_wav_duration}"
}
# hearing <set>: options of bin.transcribe: only what has no text, unless all is heard
hearing() {
    if heard "$1"; then echo --overwrite; fi
    echo "${transcripts_args}"
}
# taking <set>: options of bin.take_transcripts; words are compared as in stage 9
taking() {
    if ! limited "$1"; then echo --keep_all; fi
    if [[ "${score_args}" =~ --cleaner[\ =]+([a-z_]+) ]]; then echo "--wer_cleaner ${BASH_REMATCH[1]}"; fi
    echo "${transcripts_filter}"
}
transcribe() { # <set> <folder of its audio> <options...>
    local dir=${dumpdir}/transcripts/$1
    sharded "${dir}" "$2/wav.scp" "${python}" -m espnet2_taste.bin.transcribe --data_dir "$2" \
        --device "${device}" "${@:3}"
    datadir merge "${dir}" "${dir}"
}
take_transcripts() { # <set> <folder of its audio> <options...>
    "${python}" -m espnet2_taste.bin.take_transcripts --data_dir "$2" \
        --transcripts "${dumpdir}/transcripts/$1" --output_dir "${org}/$1" "${@:3}"
}
