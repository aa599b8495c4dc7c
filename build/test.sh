#!/usr/bin/env bash
# Every test: formatting and vet, the packages under the race detector, the published
# golden messages, and the whole program with genuine clients and real containers.
set -euo pipefail
cd "$(dirname "$0")/.."

began=$SECONDS
part() { printf '\n\033[1m== %s\033[0m (%s s)\n' "$*" $((SECONDS - began)); }

build/setup.sh build
part build
make --no-print-directory build
part check
make --no-print-directory check
part "packages, with the race detector"
CGO_ENABLED=1 go test -race -timeout 30m ./...
part "a line of 2 GB, which the race detector is too slow for"
go test -run TestEndlessLine ./internal/agent/logdriver
part "the wire against the published messages"
go -C internal/wire/gen test .
part "schedule expressions against two libraries"
go -C internal/events/schedule/oracle test .
part "the whole program, genuine clients, real containers"
build/setup.sh aws2 >/dev/null
go -C e2e vet .
go -C e2e test -timeout 40m -parallel 6 . # most of the time they wait
part done
