#!/usr/bin/env bash
# Builds driver.c with the kernels under AddressSanitizer and UndefinedBehaviorSanitizer, in a temporary directory, and
# runs it. CC chooses the compiler. Leaks are looked for on Linux, where LeakSanitizer works.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The arithmetic flags are those of setup.py.
${CC:-cc} -std=c11 -Wall -Wextra -Werror -g -O1 -ffp-contract=off -fno-math-errno -fno-trapping-math \
    -fsanitize=address,undefined -fno-sanitize-recover=all -Icsrc -Itests/c tests/c/driver.c csrc/*.c -o "$work/driver" -lm
leaks=0
[ "$(uname)" = Linux ] && leaks=1
ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=$leaks} "$work/driver"
