#!/usr/bin/env bash
# Keep the lines of a table whose id is in another: filter_scp.pl ids in.scp > out.scp
set -e -u -o pipefail
[ $# -eq 2 ] || { echo "Usage: $0 ids in.scp" >&2; exit 2; }
awk 'NR == FNR {keep[$1]; next} $1 in keep' "$1" "$2"
