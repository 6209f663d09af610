#!/usr/bin/env bash
# Cross-compiles driver.c and layers.c with the library for AArch64 and runs them under qemu's user mode: the NEON row and
# the scalar row of that processor, against libm and against golden.h. CC chooses the compiler, QEMU the emulator. Debian, Ubuntu:
#     apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
set -euo pipefail
cd "$(dirname "$0")/../.."
cc=${CC:-aarch64-linux-gnu-gcc}
qemu=${QEMU:-$(command -v qemu-aarch64 || command -v qemu-aarch64-static || echo qemu-aarch64)}
for tool in "$cc" "$qemu"; do
    command -v "$tool" > /dev/null || { echo "skipped: $tool is not installed"; exit 0; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The arithmetic flags are those of setup.py. Static: the emulator then needs no libraries of AArch64. The drivers are not
# optimised much: GCC 12 fails in its vectoriser there.
flags="-std=c11 -Wall -Wextra -Werror -ffp-contract=off -fno-math-errno -fno-trapping-math -pthread -Icsrc -Itests/c"
compile() { "$cc" $flags "$@"; }
for source in csrc/*.c; do
    compile -O3 -c "$source" -o "$work/$(basename "$source" .c).o"
done
for driver in driver layers; do
    compile -O1 -static "tests/c/$driver.c" "$work"/*.o -o "$work/$driver" -lm
    "$qemu" "$work/$driver" | tee "$work/told"
    grep -q '^neon ' "$work/told" || { echo "the NEON row did not run"; exit 1; }
done
