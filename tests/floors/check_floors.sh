#!/bin/sh
# usage: check_floors.sh TABLE ROOT: fails, and says where, when a file under ROOT includes what the table forbids, when an
# include of the project cannot be found, or when headers include each other in a circle.
set -eu
table=$1
cd "$2"
edges=$(mktemp)
trap 'rm -f "$edges"' EXIT

find src include media recipes examples cli -name '*.[ch]' -type f 2>/dev/null | sort | awk -v table="$table" -v edges="$edges" '
function complain(text) { print text; bad = 1 }
function exists(path) { return path in known }
function folder_of(path) { sub(/\/[^\/]*$/, "", path); return path }

# The longest floor whose folder holds the file.
function floor_of(path,    f) {
    f = folder_of(path)
    sub(/^src\/?/, "", f)
    while (f != "" && !(f in level))
        if (!sub(/\/[^\/]*$/, "", f))
            f = ""
    return f
}

# A public header in the table: by its own name, or by its folder (ops/); "" if it is in neither way.
function header_of(name) {
    if (name in header_level)
        return name
    sub(/[^\/]*$/, "", name)
    return name in header_level ? name : ""
}

# An include as a path in the project; "" for a system header.
function resolve(from, name, quoted,    path) {
    if (!quoted)
        return name ~ /^cambium\/(media|image_folder)\.h$/ ? "media/" substr(name, 9) : name ~ /^cambium\// ? "include/" name : ""
    path = folder_of(from) "/" name
    if (exists(path))
        return path
    if (exists("src/" name))
        return "src/" name
    return exists("recipes/" name) ? "recipes/" name : name
}

function check_src(from, to, where,    mine, theirs, name) {
    mine = floor_of(from)
    if (mine == "") {
        complain(from ": in no floor of the table")
        return
    }
    if (to ~ /^include\/cambium\//) {
        name = header_of(substr(to, length("include/cambium/") + 1))
        if (name == "")
            complain(where ": " to " is not in the table")
        else if (header_level[name] > level[mine])
            complain(where ": floor " mine " may not include " to)
        return
    }
    theirs = to ~ /^src\// ? floor_of(to) : ""
    if (theirs == "")
        complain(where ": floor " mine " may not include " to)
    else if (mine != theirs && (is_wing[theirs] || level[theirs] >= level[mine]))
        complain(where ": floor " mine " may not include " to)
}

function check_header(from, to, where,    mine, theirs) {
    mine = header_of(substr(from, length("include/cambium/") + 1))
    theirs = header_of(substr(to, length("include/cambium/") + 1))
    if (mine == "")
        complain(from ": not in the table")
    else if (to !~ /^include\/cambium\// || theirs == "" || header_level[theirs] > header_level[mine])
        complain(where ": the public header may not include " to)
}

function check_outside(from, to, where,    top, n, parts, i) {
    top = from
    sub(/\/.*/, "", top)
    n = split(outside[top], parts, " ")
    for (i = 1; i <= n; i++)
        if (index(to, parts[i]) == 1)
            return
    complain(where ": " top " may not include " to)
}

function check(from, to, where) {
    if (!exists(to))
        complain(where ": " to " was not found")
    else if (from ~ /^src\//)
        check_src(from, to, where)
    else if (from ~ /^include\//)
        check_header(from, to, where)
    else
        check_outside(from, to, where)
    if (from ~ /\.h$/ && to ~ /\.h$/)
        print from, to > edges
}

function read_table(    line, f) {
    while ((getline line < table) > 0) {
        split(line, f, " ")
        if (f[1] == "floor" || f[1] == "wing") {
            level[f[3]] = f[2] + 0
            is_wing[f[3]] = f[1] == "wing"
        } else if (f[1] == "header")
            header_level[f[3]] = f[2] + 0
        else if (f[1] == "outside") {
            sub(/^outside +[^ ]+ +/, "", line)
            outside[f[2]] = line
        }
    }
}

BEGIN { read_table() }
{ files[++count] = $0; known[$0] = 1 }
END {
    for (i = 1; i <= count; i++) {
        file = files[i]
        number = 0
        while ((getline line < file) > 0) {
            number++
            if (line !~ /^[ \t]*#[ \t]*include[ \t]*["<]/)
                continue
            quoted = line ~ /include[ \t]*"/
            sub(/^[^"<]*["<]/, "", line)
            sub(/[">].*/, "", line)
            to = resolve(file, line, quoted)
            if (to != "") {
                check(file, to, file ":" number)
                includes++
            }
        }
        close(file)
    }
    if (count == 0 || includes == 0)
        complain("no files to check")
    printf "%d files, %d includes of the project\n", count, includes
    exit bad
}'

if ! tsort "$edges" >/dev/null 2>"$edges.circle"; then
    echo "headers include each other in a circle:"
    cat "$edges.circle"
    rm -f "$edges.circle"
    exit 1
fi
rm -f "$edges.circle"
