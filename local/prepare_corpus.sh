# shellcheck shell=bash disable=SC2086,SC2154
# For local/data.sh, after its options: ${layout} is what lies in ${root}.
prepare() { # <set> <parts> [<option of bin.prepare_corpus>...]: data/<set>
    local option options=()
    for option in ${layout_conf//,/ }; do options+=(--layout_conf "${option}"); done
    python3 -m espnet2_taste.bin.prepare_corpus --layout "${layout}" --root "${root}" --output_dir "data/$1" \
        --parts ${2//,/ } --cleaner "${cleaner:-none}" "${@:3}" "${options[@]}"
}
