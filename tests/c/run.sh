#!/usr/bin/env bash
# Builds the drivers of the C library under sanitizers, in a temporary directory, and runs them: the kernels, layers and
# stacks and the thread pool under AddressSanitizer and UndefinedBehaviorSanitizer, what has threads under
# ThreadSanitizer too. CC chooses the compiler. Leaks are looked for on Linux, where LeakSanitizer works.
set -eu
shopt -s extglob
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# compile SANITIZERS ARGUMENT...: the arithmetic flags are those of setup.py.
compile() {
    local sanitizers=$1
    shift
    ${CC:-cc} -std=c11 -Wall -Wextra -Werror -g -O1 -ffp-contract=off -fno-math-errno -fno-trapping-math -pthread \
        "-fsanitize=$sanitizers" -fno-sanitize-recover=all -Icsrc -Itests/c "$@"
}

# library NAME SANITIZERS: the objects of csrc, in a directory of that name.
library() {
    local jobs=()
    mkdir "$work/$1"
    for source in csrc/*.c; do
        compile "$2" -c "$source" -o "$work/$1/$(basename "$source" .c).o" &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do wait "$job"; done
}

# ThreadSanitizer of older compilers gives up at some random layouts of memory; setarch -R asks for a fixed one.
steady() { if setarch -R true 2> "$work/refused"; then setarch -R "$@"; else "$@"; fi; }

leaks=0
[ "$(uname)" = Linux ] && leaks=1
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=$leaks}

library plain address,undefined
for driver in driver layers; do
    compile address,undefined "tests/c/$driver.c" "$work"/plain/*.o -o "$work/$driver" -lm
    "$work/$driver"
done
# pool.c of the tests includes that of the library.
compile address,undefined tests/c/pool.c "$work"/plain/!(pool).o -o "$work/pool" -lm
"$work/pool"
library threads thread
compile thread tests/c/layers.c "$work"/threads/*.o -o "$work/layers-threads" -lm
steady "$work/layers-threads"
compile thread tests/c/pool.c "$work"/threads/!(pool).o -o "$work/pool-threads" -lm
steady "$work/pool-threads"
