#!/bin/sh
# Every public function is called, by its name or its macro's, in some test.
set -u
root=${CAMBIUM_SOURCE:?}
cd "$root" || exit 1
list=$(mktemp)
trap 'rm -f "$list"' EXIT
find tests bench/networks -name '*.c' -o -name '*.cpp' -o -name '*.h' | xargs cat > "$list"
functions=$(grep -rhoE 'CBM_API [^(]*[ *]cbm_[a-z0-9_]+\(' include/cambium | sed -E 's/.*[ *](cbm_[a-z0-9_]+)\($/\1/' | sort -u)
missing=0
for f in $functions; do
    base=${f%_with}
    base=${base%_list}
    base=${base%_of}
    base=${base%_init} # of options: named in tests/api/test_options.c
    grep -qE "(^|[^a-z0-9_])($f|$base)([^a-z0-9_]|\$)" "$list" && continue
    echo "in no test: $f"
    missing=$((missing + 1))
done
echo "$(echo "$functions" | wc -l) public functions, $missing in no test"
[ "$missing" -eq 0 ]
