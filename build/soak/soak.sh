#!/usr/bin/env bash
# Repeats the tests of packages in random order under the race detector, then fuzzes
# every fuzz target in them.
#
#   [SOAK_COUNT=20] [FUZZTIME=1m] [HOLDFAST_SOAK=10] build/soak/soak.sh PACKAGE...
#
# HOLDFAST_SOAK multiplies the number of crashes and damages that are tried, once.
#
# Stops at the first failure; go test leaves the input that failed in the package's
# testdata/fuzz, where it becomes a test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

count=${SOAK_COUNT:-20}
fuzztime=${FUZZTIME:-1m}
tags=${TAGS:-grpcnotrace,nethttpomithttp2}
[ $# -gt 0 ] || { echo "usage: soak.sh PACKAGE..." >&2; exit 2; }

echo "soak: crashes and damages, ${HOLDFAST_SOAK:=10} times as many"
HOLDFAST_SOAK=$HOLDFAST_SOAK go test -tags "$tags" -count=1 -timeout 2h ./policycache ./mqtt/outbox
# The metadata of a containerd for real, damaged a hundred times.
HOLDFAST_SOAK=$HOLDFAST_SOAK go test -tags "$tags" -count=1 -timeout 2h -run TestDoctor_Metadata ./build/e2e

echo "soak: $count rounds of $# packages"
CGO_ENABLED=1 go test -tags "$tags" -race -shuffle=on -count="$count" -timeout 2h "$@"
for package in "$@"; do
	for target in $(go test -tags "$tags" -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "soak: $target of $package for $fuzztime"
		go test -tags "$tags" -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" -fuzzminimizetime 10x "$package"
	done
done
echo "soak: passed"
