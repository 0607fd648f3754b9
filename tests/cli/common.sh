# common.sh: what the tests of the program share. Sourced by test_*.sh. $C is the program; the test runs in an empty folder.
# expect CODE command...: runs it with output in ./out and ./err, and fails unless it exits with CODE.
set -u
C=${CAMBIUM_PROGRAM:?}
[ -x "$C" ] || { echo "the program is not built: skipped"; exit 77; }
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
cd "$here" || exit 1
unset CAMBIUM_DATA CAMBIUM_MIRROR
failures=0

fail()
{
    echo "FAILED: $*"
    failures=$((failures + 1))
}

expect()
{
    wanted=$1
    shift
    "$@" > out 2> err
    got=$?
    [ $got -eq "$wanted" ] && return
    fail "exit code $got instead of $wanted: $*"
    cat out err
}

# says FILE TEXT: FILE holds the text; silent FILE: FILE is empty.
says()
{
    grep -qF -- "$2" "$1" && return
    fail "'$2' is not in $1:"
    cat "$1"
}

silent()
{
    [ -s "$1" ] || return
    fail "$1 should be empty:"
    cat "$1"
}

# A small set of files like MNIST's in DIR: COUNT samples to train and to test; each digit is a bright block at its own place.
digits()
{
    dir=$1
    count=$2
    mkdir -p "$dir"
    awk 'BEGIN { for (d = 0; d < 10; d++) for (i = 0; i < 784; i++)
        printf "%s", (int(i / 28 / 3) == d && i % 28 > d) ? "\\377" : "\\000" }' > blocks
    high=$(printf '%03o' $((count / 256)))
    low=$(printf '%03o' $((count % 256)))
    for split in train t10k; do
        printf "\\000\\000\\010\\003\\000\\000\\$high\\$low\\000\\000\\000\\034\\000\\000\\000\\034" > "$dir/$split-images-idx3-ubyte"
        printf "\\000\\000\\010\\001\\000\\000\\$high\\$low" > "$dir/$split-labels-idx1-ubyte"
        printf "$(cat blocks)" > ten
        n=0
        while [ $n -lt "$count" ]; do
            cat ten >> "$dir/$split-images-idx3-ubyte"
            printf '\000\001\002\003\004\005\006\007\010\011' >> "$dir/$split-labels-idx1-ubyte"
            n=$((n + 10))
        done
    done
    rm -f blocks ten
}

# The same for CIFAR-10, COUNT a multiple of 10: a class is a bright band across all three planes.
pictures()
{
    dir=$1
    count=$2
    mkdir -p "$dir"
    awk 'BEGIN { for (d = 0; d < 10; d++) { printf "\\%03o", d; for (i = 0; i < 3072; i++)
        printf "%s", (int(i % 1024 / 32 / 3) == d) ? "\\377" : "\\000" } }' > bands
    printf "$(cat bands)" > ten
    n=0
    : > "$dir/test_batch.bin"
    while [ $n -lt "$count" ]; do
        cat ten >> "$dir/test_batch.bin"
        n=$((n + 10))
    done
    for part in 1 2 3 4 5; do
        cp ten "$dir/data_batch_$part.bin"
    done
    rm -f bands ten
}

finish()
{
    [ $failures -eq 0 ] && exit 0
    echo "$failures failures"
    exit 1
}
