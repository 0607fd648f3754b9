#!/bin/sh
# The headers' plain comments as Doxygen's: those before a declaration and those behind one on its line.
# usage: filter.sh FILE
awk '
    NR == 1 && /^\/\* / { sub(/^\/\* [^:]*: */, "/** @file\n    "); print; next }
    /^\/\* ---- / { print; next }
    /^ *\/\* / { sub(/\/\* /, "/** "); print; next }
    /[;,{] *\/\* / { sub(/\/\* /, "/**< "); print; next }
    { print }' "$1"
