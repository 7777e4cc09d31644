#!/usr/bin/env bash
# Split a sorted table into contiguous parts of nearly equal size, as Kaldi's does:
#   split_scp.pl in.scp out.1 [out.2 ...]
set -e -u -o pipefail
[ $# -ge 2 ] || { echo "Usage: $0 in.scp out.1 [out.2 ...]" >&2; exit 2; }
in=$1; shift
lines=$(wc -l < "${in}")
[ "${lines}" -ge $# ] || { echo "$0: ${in} has ${lines} lines, fewer than $# parts" >&2; exit 1; }
awk -v lines="${lines}" 'BEGIN {n = ARGC - 2; for (i = 1; i <= n; i++) {out[i] = ARGV[i + 1]; ARGV[i + 1] = ""}}
    {print > out[int((NR - 1) * n / lines) + 1]}' "${in}" "$@"
