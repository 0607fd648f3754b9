#!/bin/sh
# The project keeps the order of its floors; and the check does find what breaks it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

sh "$here/check_floors.sh" "$here/floors" "$source"

# expect ok|fail WHAT FILE INCLUDE: a small project in which FILE includes INCLUDE.
expect()
{
    rm -rf "$made/tree"
    for f in src/base/base.h src/tensor/context.h src/op/record.h src/backend/backend.h src/backend/cpu/cpu.h \
        src/plan/plan.h src/nn/parts.h media/media.h cli/cli.h include/cambium/common.h include/cambium/nn.h; do
        mkdir -p "$made/tree/$(dirname $f)"
        echo "/* nothing */" >"$made/tree/$f"
    done
    echo '#include <cambium/common.h>' >"$made/tree/src/base/status.c"
    mkdir -p "$made/tree/$(dirname "$3")"
    echo "#include $4" >>"$made/tree/$3"
    if [ -n "${5:-}" ]; then
        echo "#include $6" >>"$made/tree/$5"
    fi
    if sh "$here/check_floors.sh" "$here/floors" "$made/tree" >"$made/out" 2>&1; then result=ok; else result=fail; fi
    if [ $result != "$1" ]; then
        echo "$2: expected $1, got $result"
        cat "$made/out"
        exit 1
    fi
}
expect ok "down" src/plan/run.c '"backend/backend.h"'
expect ok "own folder" src/nn/linear.c '"parts.h"'
expect ok "system header" src/base/clock.c '<time.h>'
expect ok "a wing below its floor" src/backend/cpu/simd/a.c '"backend/cpu/cpu.h"'
expect fail "up" src/base/a.c '"tensor/context.h"'
expect fail "up, relative" src/base/a.c '"../tensor/context.h"'
expect fail "up through a public header" src/op/a.c '<cambium/nn.h>'
expect fail "a wing from above" src/plan/a.c '"backend/cpu/cpu.h"'
expect fail "out of the library" src/nn/a.c '"cli/cli.h"'
expect fail "media from the library" src/nn/a.c '"media/media.h"'
expect fail "the library from media" media/a.c '"base/base.h"'
expect fail "internals from an example" examples/a.c '"base/base.h"'
expect fail "a missing file" src/nn/a.c '"nn/none.h"'
expect fail "a public header up" include/cambium/common.h '<cambium/nn.h>'
expect fail "a floor that nobody knows" src/cellar/a.c '"base/base.h"'
expect fail "a circle" src/nn/a.h '"nn/b.h"' src/nn/b.h '"nn/a.h"'
