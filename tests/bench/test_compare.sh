#!/bin/sh
# compare.py with stand-ins for the programs: pairs are stored, a run that was cut off is taken up where it stopped, results of
# another commit are refused, a contestant that fails is reported; table.py shows the medians.
set -eu
command -v python3 > /dev/null || { echo "no python3"; exit 77; }
compare=$CAMBIUM_SOURCE/bench/compare.py table=$CAMBIUM_SOURCE/bench/table.py
export PYTHONDONTWRITEBYTECODE=1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/bench"

fail() {
    echo "FAILED: $*"
    exit 1
}

# A program that says it is ready and then answers each line with the time it was made with.
program() {
    cat > "$dir/bench/$1" << END
#!/bin/sh
echo started >> "$dir/starts"
echo '{"ready": true}'
while read -r seconds; do echo '{"us": $2, "runs": 1}'; done
END
    chmod +x "$dir/bench/$1"
}

run() {
    python3 "$compare" --build "$dir" --only tiny-mlp --threads 2 --pairs 4 --processes 2 --out "$dir/r.jsonl" "$@"
}

program train 20.0
program bare_tiny_mlp 5.0
run > "$dir/log"
[ "$(grep -c '"what": "pair"' "$dir/r.jsonl")" = 4 ] || fail "not four pairs"
[ "$(wc -l < "$dir/starts")" = 4 ] || fail "not two processes of each"
python3 "$table" "$dir/r.jsonl" | grep -q '20.0 us .* 5.0 us | 25 %' || fail "the table has other medians"

# Cut off in the middle of the last line: one pair is missing, and only that one is measured.
head -c -9 "$dir/r.jsonl" > "$dir/cut"
mv "$dir/cut" "$dir/r.jsonl"
: > "$dir/starts"
program train 40.0
run > "$dir/log"
[ "$(wc -l < "$dir/log")" = 1 ] || fail "more than the missing pair was measured"
[ "$(grep -c '"what": "pair"' "$dir/r.jsonl")" = 4 ] || fail "the missing pair is still missing"
[ "$(grep -c '40.0' "$dir/r.jsonl")" = 1 ] || fail "pairs that were there were measured again"
: > "$dir/starts"
run > "$dir/log"
[ ! -s "$dir/starts" ] || fail "programs were started for nothing"

sed -i 's/"commit": "[^"]*"/"commit": "another"/' "$dir/r.jsonl"
run > "$dir/log" 2>&1 && fail "results of another commit were taken"
grep -q 'holds results of another' "$dir/log" || fail "no word about the other commit"
run --mix > "$dir/log" || fail "--mix did not help"

rm "$dir/r.jsonl"
printf '#!/bin/sh\necho no such network >&2\nexit 1\n' > "$dir/bench/train"
run > "$dir/log" 2>&1 && fail "a failing program gave no error"
grep -q 'tiny-mlp: cambium ended early: no such network' "$dir/log" || fail "the failing program's words are lost"
