/* csv.c: RFC 4180, read leniently where nothing is ambiguous. Cells are written without their quotes into a buffer of the
   file's size: none becomes longer. */
#include "io/csv.h"
#include <string.h>

#define MAX_COLUMNS 65536

typedef struct scanner {
    const char *at, *end;
    char delimiter, comment;
    int64_t line;
    char *out;
    cbm_problem *problem;
} scanner;

static bool at_line_end(const scanner *s)
{
    return s->at == s->end || *s->at == '\n' || (*s->at == '\r' && (s->at + 1 == s->end || s->at[1] == '\n'));
}

static void pass_line_end(scanner *s)
{
    if (s->at < s->end && *s->at == '\r')
        s->at++;
    if (s->at < s->end) {
        s->at++;
        s->line++;
    }
}

static bool is_blank(const scanner *s, char c)
{
    return (c == ' ' || c == '\t') && c != s->delimiter;
}

static void pass_blanks(scanner *s)
{
    while (s->at < s->end && is_blank(s, *s->at))
        s->at++;
}

static bool put(scanner *s, char c)
{
    if (c == 0)
        return cbm_refuse(s->problem, CBM_ERROR_FORMAT, "line %lld holds a zero byte", (long long)s->line);
    *s->out++ = c;
    return true;
}

/* After the opening quote, up to behind the closing one. */
static bool quoted_cell(scanner *s)
{
    const int64_t begun = s->line;
    for (s->at++; s->at < s->end; s->at++) {
        s->line += *s->at == '\n';
        if (*s->at == '"') {
            if (s->at + 1 == s->end || s->at[1] != '"')
                break;
            s->at++;
        }
        if (!put(s, *s->at))
            return false;
    }
    if (s->at == s->end)
        return cbm_refuse(s->problem, CBM_ERROR_FORMAT, "the quote opened on line %lld is never closed",
                          (long long)begun);
    s->at++;
    pass_blanks(s);
    if (at_line_end(s) || *s->at == s->delimiter)
        return true;
    return cbm_refuse(s->problem, CBM_ERROR_FORMAT, "line %lld: text behind a closing quote", (long long)s->line);
}

static bool plain_cell(scanner *s)
{
    char *first = s->out;
    for (; !at_line_end(s) && *s->at != s->delimiter; s->at++)
        if (!put(s, *s->at))
            return false;
    while (s->out > first && is_blank(s, s->out[-1]))
        s->out--;
    return true;
}

/* The cells of a line; *count says how many. */
static bool row(scanner *s, cbm_cells *cells, int64_t *count)
{
    for (*count = 0;;) {
        const uint64_t offset = (uint64_t)(s->out - cells->text);
        pass_blanks(s);
        if (!cbm_array_push(&cells->offsets, &offset))
            return cbm_refuse(s->problem, CBM_ERROR_MEMORY, "no memory for its cells");
        if (!(s->at < s->end && *s->at == '"' ? quoted_cell(s) : plain_cell(s)))
            return false;
        *s->out++ = 0;
        if (++*count > MAX_COLUMNS)
            return cbm_refuse(s->problem, CBM_ERROR_FORMAT, "line %lld has more than %d cells", (long long)s->line,
                              MAX_COLUMNS);
        if (at_line_end(s))
            break;
        s->at++; /* the delimiter */
    }
    pass_line_end(s);
    return true;
}

static bool is_empty_line(const scanner *s)
{
    scanner ahead = *s;
    if (s->comment && s->at < s->end && *s->at == s->comment)
        return true;
    pass_blanks(&ahead);
    return at_line_end(&ahead);
}

static void pass_line(scanner *s)
{
    while (!at_line_end(s))
        s->at++;
    pass_line_end(s);
}

static bool scan(scanner *s, cbm_cells *cells)
{
    while (s->at < s->end) {
        const int64_t line = s->line;
        int64_t count;
        if (is_empty_line(s)) {
            pass_line(s);
            continue;
        }
        if (!row(s, cells, &count))
            return false;
        if (cells->rows++ == 0)
            cells->columns = count;
        if (count != cells->columns)
            return cbm_refuse(s->problem, CBM_ERROR_FORMAT, "line %lld has %lld cells, the first row %lld",
                              (long long)line, (long long)count, (long long)cells->columns);
    }
    return cells->rows > 0 || cbm_refuse(s->problem, CBM_ERROR_FORMAT, "it holds no rows");
}

bool cbm_csv_parse(cbm_heap *heap, const char *bytes, size_t size, char delimiter, char comment, cbm_cells *out,
                   cbm_problem *problem)
{
    *out = (cbm_cells){ .text_size = size + 1, .offsets = CBM_ARRAY(heap, uint64_t) };
    out->text = size < SIZE_MAX / 2 ? cbm_heap_take(heap, out->text_size) : NULL;
    if (!out->text)
        return cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory for its %zu bytes", size);
    scanner s = { bytes, bytes + size, delimiter, comment, 1, out->text, problem };
    if (size >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0)
        s.at += 3;
    if (scan(&s, out))
        return true;
    cbm_cells_free(heap, out);
    return false;
}

void cbm_cells_free(cbm_heap *heap, cbm_cells *cells)
{
    cbm_heap_give(heap, cells->text, cells->text_size);
    cbm_array_free(&cells->offsets);
    *cells = (cbm_cells){ 0 };
}
