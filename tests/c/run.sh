#!/usr/bin/env bash
# Builds the drivers of the C library under sanitizers, in a temporary directory, and runs them: the kernels and the
# thread pool under AddressSanitizer and UndefinedBehaviorSanitizer, the pool under ThreadSanitizer too. CC chooses
# the compiler. Leaks are looked for on Linux, where LeakSanitizer works.
set -eu
shopt -s extglob
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# build NAME SANITIZERS SOURCE...: the arithmetic flags are those of setup.py.
build() {
    local name=$1 sanitizers=$2
    shift 2
    ${CC:-cc} -std=c11 -Wall -Wextra -Werror -g -O1 -ffp-contract=off -fno-math-errno -fno-trapping-math -pthread \
        "-fsanitize=$sanitizers" -fno-sanitize-recover=all -Icsrc -Itests/c "$@" -o "$work/$name" -lm
}

# ThreadSanitizer of older compilers gives up at some random layouts of memory; setarch -R asks for a fixed one.
steady() { if setarch -R true 2> "$work/refused"; then setarch -R "$@"; else "$@"; fi; }

leaks=0
[ "$(uname)" = Linux ] && leaks=1
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=$leaks}

build driver address,undefined tests/c/driver.c csrc/*.c
"$work/driver"
# pool.c of the tests includes that of the library.
build pool address,undefined tests/c/pool.c csrc/!(pool).c
"$work/pool"
build pool-threads thread tests/c/pool.c csrc/!(pool).c
steady "$work/pool-threads"
