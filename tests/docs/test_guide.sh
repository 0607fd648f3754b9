#!/bin/sh
# Every program in docs/guide is compiled with strict warnings, run, and prints what the text block behind it says.
set -u
root=${CAMBIUM_SOURCE:?}
build=${CAMBIUM_BUILD:?}
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
cd "$here" || exit 1
export LD_LIBRARY_PATH="$build"
failures=0
programs=0

# NAME-N.c or .cpp for each program of a chapter, NAME-N.text for what it prints.
extract()
{
    awk -v name="$(basename "$1" .md)" '
        /^```(c|cpp)$/ { n++; file = name "-" n "." substr($0, 4); print file; inside = 1; next }
        /^```text$/ { if (n) { file = name "-" n ".text"; printf "" > file; inside = 1 } next }
        /^```$/ { inside = 0; close(file); next }
        inside { print > file }' "$1"
}

for chapter in "$root"/docs/guide/*.md; do
    for program in $(extract "$chapter"); do
        stem=${program%.*}
        case $program in
        *.cpp) compiler="${CXX:-g++} -std=c++17" ;;
        *) compiler="${CC:-cc} -std=gnu11" ;;
        esac
        programs=$((programs + 1))
        # shellcheck disable=SC2086
        if ! $compiler -Wall -Wextra -Werror -I "$root/include" "$program" -o program -L "$build" -lcambium -lpthread -lm \
            2> log; then
            echo "FAILED: $program does not compile"
            cat log
            failures=$((failures + 1))
            continue
        fi
        ./program > out 2> err || { echo "FAILED: $program exits with $?"; failures=$((failures + 1)); }
        if [ -s err ] || ! cmp -s out "$stem.text"; then
            echo "FAILED: $program prints something else than the guide says:"
            diff "$stem.text" out
            cat err
            failures=$((failures + 1))
        fi
    done
done
echo "$programs programs, $failures failures"
[ "$programs" -ge 9 ] && [ "$failures" -eq 0 ]
