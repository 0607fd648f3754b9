#!/bin/sh
# What outside programs see: `cmake --install` into a temporary prefix, then programs in C11 and C++17 built against it by
# pkg-config and by CMake's find_package, each of them run; and no name leaves the library that does not begin with cbm_.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=${CAMBIUM_BUILD:?the build folder}
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
prefix=$made/prefix
strict="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"

cmake --install "$build" --prefix "$prefix" >"$made/log" 2>&1 || { cat "$made/log"; exit 1; }
libdir=$(dirname "$(find "$prefix" -name 'libcambium.so')")
PKG_CONFIG_PATH=$libdir/pkgconfig
export PKG_CONFIG_PATH
flags=$(pkg-config --cflags --libs cambium)

try() # NAME COMMAND...
{
    name=$1
    shift
    "$@" >"$made/log" 2>&1 || { echo "failed: $name"; cat "$made/log"; exit 1; }
    echo "ok: $name"
}

for compiler in gcc clang cc; do
    command -v $compiler >/dev/null 2>&1 || continue
    for standard in c11 gnu11 gnu17 c2x; do
        try "$compiler -std=$standard" $compiler -std=$standard $strict "$here/program.c" -o "$made/a" $flags
        try "run it" env LD_LIBRARY_PATH="$libdir" "$made/a"
    done
done
tried=0
for compiler in g++ clang++ c++; do
    command -v $compiler >/dev/null 2>&1 || continue
    for standard in c++17 c++20; do
        try "$compiler -std=$standard" $compiler -std=$standard $strict "$here/program.cpp" -o "$made/a" $flags
        try "run it" env LD_LIBRARY_PATH="$libdir" "$made/a"
        tried=1
    done
done
[ $tried = 1 ] || { echo "no C++ compiler: apt-get install g++"; exit 1; }

try "find_package: configure" cmake -S "$here" -B "$made/outside" -DCMAKE_PREFIX_PATH="$prefix"
try "find_package: build" cmake --build "$made/outside"
for program in "$made/outside/c_program" "$made/outside/cpp_program"; do
    try "run $(basename "$program")" env LD_LIBRARY_PATH="$libdir" "$program"
done

# Each header stands on its own.
for header in "$prefix"/include/cambium/*.h; do
    name=$(basename "$header")
    [ "$name" = call_sites.h ] && continue
    echo "#include <cambium/$name>" >"$made/one.c"
    try "$name alone" cc -std=c11 $strict -Wno-empty-translation-unit -fsyntax-only -I"$prefix/include" "$made/one.c"
done

if [ -x "$prefix/bin/cambium" ]; then
    try "the installed program" "$prefix/bin/cambium" version
fi

foreign=$(nm -D --defined-only "$libdir/libcambium.so" | awk '$2 != "A" { print $3 }' | grep -v '^cbm_' || true)
if [ -n "$foreign" ]; then
    echo "names that should not leave the library:"
    echo "$foreign"
    exit 1
fi
objdump -p "$libdir/libcambium.so" 2>/dev/null | grep -q 'SONAME *libcambium.so.0.1' || { echo "wrong soname"; exit 1; }
