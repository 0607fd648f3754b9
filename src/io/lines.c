/* lines.c: a text file by lines. Rests on bytes.h. */
#include "io/bytes.h"
#include <cambium/io.h>
#include <cambium/table.h>
#include <string.h>

struct cbm_lines {
    cbm_context *cx;
    char *text; /* lines, each with a final 0 */
    size_t size;
    cbm_array begins; /* of uint64_t; the last one is where the next line would begin */
};

static void free_lines(void *object)
{
    cbm_lines *l = object;
    cbm_heap *heap = cbm_context_heap(l->cx);
    cbm_heap_give(heap, l->text, l->size);
    cbm_array_free(&l->begins);
    cbm_heap_give(heap, l, sizeof *l);
}

static bool split(cbm_lines *l, const char *at, const char *end, cbm_problem *problem)
{
    char *out = l->text;
    for (uint64_t begin = 0; at < end; begin = (uint64_t)(out - l->text)) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const char *next = stop ? stop + 1 : end;
        size_t length = (size_t)((stop ? stop : end) - at);
        if (memchr(at, 0, length))
            return cbm_refuse(problem, CBM_ERROR_FORMAT, "line %zu holds a zero byte: not a text file",
                              l->begins.count + 1);
        length -= length && stop && at[length - 1] == '\r';
        memcpy(out, at, length);
        out[length] = 0;
        out += length + 1;
        at = next;
        if (!cbm_array_push(&l->begins, &begin))
            return cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory for its lines");
    }
    const uint64_t behind = (uint64_t)(out - l->text);
    return cbm_array_push(&l->begins, &behind) || cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory for its lines");
}

static cbm_lines *read_lines(cbm_context *cx, const char *path, const char *bytes, size_t size)
{
    cbm_problem problem = { CBM_OK, "" };
    cbm_heap *heap = cbm_context_heap(cx);
    cbm_lines *l = cbm_heap_take_zero(heap, sizeof *l);
    if (!l) {
        cbm_fail_memory(cx, "a file's lines");
        return NULL;
    }
    *l = (cbm_lines){ .cx = cx, .size = size + 1, .begins = CBM_ARRAY(heap, uint64_t) };
    l->text = size < SIZE_MAX / 2 ? cbm_heap_take(heap, l->size) : NULL; /* an end of a line becomes its final 0 */
    if (!l->text)
        cbm_refuse(&problem, CBM_ERROR_MEMORY, "no memory for its %zu bytes", size);
    else
        split(l, bytes, bytes + size, &problem);
    if (problem.status == CBM_OK && cbm_context_own(cx, l, free_lines))
        return l;
    if (problem.status != CBM_OK)
        cbm_report(cx, "lines", path, &problem);
    free_lines(l);
    return NULL;
}

cbm_lines *cbm_lines_read_memory(cbm_context *cx, const void *bytes, size_t size)
{
    if (!cx || cbm_context_status(cx) != CBM_OK)
        return NULL;
    return read_lines(cx, NULL, bytes ? bytes : "", bytes ? size : 0);
}

cbm_lines *cbm_lines_read(cbm_context *cx, const char *path)
{
    void *bytes;
    size_t size;
    if (!cx || cbm_context_status(cx) != CBM_OK || cbm_read_file(cx, path, &bytes, &size) != CBM_OK)
        return NULL;
    cbm_lines *l = read_lines(cx, path, bytes ? bytes : "", size);
    cbm_file_free(cx, bytes, size);
    return l;
}

int64_t cbm_lines_count(const cbm_lines *l)
{
    return l ? (int64_t)l->begins.count - 1 : 0;
}

const char *cbm_lines_at(const cbm_lines *l, int64_t index, size_t *length)
{
    if (length)
        *length = 0;
    if (index < 0 || index >= cbm_lines_count(l))
        return NULL;
    const uint64_t begin = CBM_AT(&l->begins, uint64_t, index), next = CBM_AT(&l->begins, uint64_t, index + 1);
    if (length)
        *length = (size_t)(next - begin - 1);
    return l->text + begin;
}

void cbm_lines_release(cbm_lines *l)
{
    if (!l)
        return;
    cbm_context_disown(l->cx, l);
    free_lines(l);
}
