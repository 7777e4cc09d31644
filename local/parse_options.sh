# shellcheck shell=bash
# Source after the block of `name=value  # What it is.` defaults: `--name value` (or
# --some-name, --name=value) sets the variable, --help prints the block. A default of
# true/false takes only those; one that is an integer, integers; one with a point, numbers.
# The block may be in another file: ${options_file}.
_die_option() { echo "$0: $1 (see $0 --help)" >&2; exit 2; }
declare -A _defaults=()  # of options that came: they may come again
while [ $# -gt 0 ]; do
    case "$1" in
        --help|-h)
            echo "${help_message:-Usage: $0 [options]}"
            sed -n -E '/^help_message=/q; s/^([a-z][a-zA-Z0-9_]*)=([^#]*[^# ])?[ ]*(#[ ]*(.*))?$/  --\1 \2\t\4/p' \
                "${options_file:-$0}" \
                | awk -F'\t' '{printf "%-42s %s\n", $1, $2}'
            exit 0 ;;
        --) shift; break ;;
        --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ; continue ;;
        --*) ;;
        *) break ;;
    esac
    _name="${1#--}"; _name="${_name//-/_}"
    [[ "${_name}" =~ ^[a-z][a-zA-Z0-9_]*$ && -v "${_name}" ]] || _die_option "unknown option $1"
    [ $# -ge 2 ] || _die_option "option $1 needs a value"
    _default=${_defaults[${_name}]=${!_name}}
    if [[ "${_default}" =~ ^(true|false)$ ]]; then
        [[ "$2" =~ ^(true|false)$ ]] || _die_option "$1 takes true or false, not '$2'"
    elif [[ "${_default}" =~ ^-?[0-9]+$ ]]; then
        [[ "$2" =~ ^-?(0|[1-9][0-9]*)$ ]] || _die_option "$1 takes an integer, not '$2'"
    elif [[ "${_default}" =~ ^-?[0-9]+\.[0-9]+$ ]]; then
        [[ "$2" =~ ^-?([0-9]+\.?[0-9]*|\.[0-9]+)$ ]] || _die_option "$1 takes a number, not '$2'"
    fi
    printf -v "${_name}" '%s' "$2"
    shift 2
done
unset _name _default
