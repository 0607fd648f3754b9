/* npy.c: NumPy's array files: a magic word, a header that is a Python dictionary of three keys, and the elements.
   https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Rests on bytes.h. */
#include "io/npy.h"
#include <stdio.h>
#include <string.h>

#define MAGIC "\x93NUMPY"
#define MAGIC_BYTES 6
#define HEADER_MAX ((size_t)1 << 16) /* far more than three keys need */
#define WORD_MAX 32

/* A reader of the dictionary; at stays <= end. */
typedef struct cursor {
    const char *at, *end;
} cursor;

static void skip_space(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n'))
        ++c->at;
}

static bool accept(cursor *c, char expected)
{
    skip_space(c);
    if (c->at == c->end || *c->at != expected)
        return false;
    ++c->at;
    return true;
}

/* 'text' or "text" without escapes. */
static bool read_string(cursor *c, char out[WORD_MAX])
{
    skip_space(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"'))
        return false;
    char quote = *c->at++;
    size_t n = 0;
    while (c->at < c->end && *c->at != quote) {
        if (*c->at == '\\' || n == WORD_MAX - 1)
            return false;
        out[n++] = *c->at++;
    }
    out[n] = 0;
    return accept(c, quote);
}

static bool read_bool(cursor *c, bool *out)
{
    skip_space(c);
    size_t left = (size_t)(c->end - c->at);
    *out = left >= 4 && memcmp(c->at, "True", 4) == 0;
    if (!*out && !(left >= 5 && memcmp(c->at, "False", 5) == 0))
        return false;
    c->at += *out ? 4 : 5;
    return true;
}

static bool read_int(cursor *c, int64_t *out)
{
    skip_space(c);
    const char *start = c->at;
    for (*out = 0; c->at < c->end && *c->at >= '0' && *c->at <= '9'; ++c->at)
        if (__builtin_mul_overflow(*out, (int64_t)10, out) ||
            __builtin_add_overflow(*out, (int64_t)(*c->at - '0'), out))
            return false;
    if (c->at > start && c->at < c->end && *c->at == 'L') /* Python 2 */
        ++c->at;
    return c->at > start;
}

static bool read_shape(cursor *c, cbm_shape *out, cbm_problem *problem)
{
    if (!accept(c, '('))
        return false;
    out->v[0] = 0;
    while (!accept(c, ')')) {
        int64_t size;
        if (!read_int(c, &size))
            return false;
        if (out->v[0] == CBM_MAX_DIMS)
            return cbm_refuse(problem, CBM_ERROR_FORMAT, "more than %d dimensions", CBM_MAX_DIMS);
        out->v[++out->v[0]] = size;
        if (!accept(c, ',')) {
            if (!accept(c, ')'))
                return false;
            break;
        }
    }
    return true;
}

/* "<f4", "|u1", ">i8", "=f4". */
static bool read_type(const char *descr, cbm_npy *out, cbm_problem *problem)
{
    char shown[CBM_SHOWN];
    const char *order = strchr("<>|=", descr[0]);
    out->type = descr[0] && order ? cbm_stored_npy(descr + 1) : NULL;
    if (!out->type || !out->type->readable || (descr[0] == '|' && out->type->bits > 8))
        return cbm_refuse(problem, CBM_ERROR_UNSUPPORTED, "its element type '%s' has no counterpart here",
                          cbm_shown(descr, shown));
    out->big = descr[0] == '>' || (descr[0] == '=' && cbm_host_is_big_endian());
    return true;
}

static bool read_dictionary(cursor *c, cbm_npy *out, cbm_problem *problem)
{
    bool has_type = false, has_order = false, has_shape = false;
    char word[WORD_MAX], type[WORD_MAX] = "";
    if (!accept(c, '{'))
        return false;
    while (!accept(c, '}')) {
        bool fine = false;
        if (!read_string(c, word) || !accept(c, ':'))
            return false;
        if (strcmp(word, "descr") == 0 && !has_type) {
            skip_space(c);
            if (c->at < c->end && *c->at == '[')
                return cbm_refuse(problem, CBM_ERROR_UNSUPPORTED, "arrays of records are not supported");
            has_type = fine = read_string(c, type);
        } else if (strcmp(word, "fortran_order") == 0 && !has_order) {
            has_order = fine = read_bool(c, &out->fortran);
        } else if (strcmp(word, "shape") == 0 && !has_shape) {
            has_shape = fine = read_shape(c, &out->shape, problem);
        }
        if (!fine)
            return false;
        if (!accept(c, ',')) {
            if (!accept(c, '}'))
                return false;
            break;
        }
    }
    skip_space(c);
    return c->at == c->end && has_type && has_order && has_shape && read_type(type, out, problem);
}

bool cbm_npy_parse(const uint8_t *bytes, size_t size, cbm_npy *out, cbm_problem *problem)
{
    *out = (cbm_npy){ 0 };
    if (size < MAGIC_BYTES + 4 || memcmp(bytes, MAGIC, MAGIC_BYTES) != 0)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "not an npy file, or truncated");
    unsigned version = bytes[MAGIC_BYTES];
    if (version < 1 || version > 3)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "npy version %u is not known", version);
    size_t front = MAGIC_BYTES + (version == 1 ? 4u : 6u);
    if (size < front)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "truncated in its header");
    size_t length = version == 1 ? cbm_u16_le(bytes + 8) : cbm_u32_le(bytes + 8);
    if (length > HEADER_MAX || length > size - front)
        return cbm_refuse(problem, CBM_ERROR_FORMAT,
                          "its header should have %zu bytes, %zu follow: truncated or damaged", length, size - front);
    cursor c = { (const char *)bytes + front, (const char *)bytes + front + length };
    if (!read_dictionary(&c, out, problem))
        return cbm_refuse(problem, CBM_ERROR_FORMAT,
                          "its header is not a dictionary of descr, fortran_order and shape");
    out->data = bytes + front + length;
    int64_t count = cbm_shape_count(&out->shape);
    uint64_t need;
    if (count < 0 || __builtin_mul_overflow((uint64_t)count, (uint64_t)out->type->bits / 8, &need))
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "its shape has more elements than can be counted");
    if (need != size - front - length)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "%zu bytes of elements where its shape and type need %llu%s",
                          size - front - length, (unsigned long long)need,
                          need > size - front - length ? ": truncated" : "");
    return true;
}

/* From Fortran order (the first axis runs fastest) to C order. */
static void transpose(const uint8_t *in, uint8_t *out, const cbm_shape *shape, size_t element)
{
    int64_t at[CBM_MAX_DIMS] = { 0 }, stride[CBM_MAX_DIMS];
    int64_t rank = shape->v[0], count = cbm_shape_count(shape), step = 1, from = 0;
    for (int64_t axis = 0; axis < rank; ++axis) {
        stride[axis] = step;
        step *= shape->v[1 + axis];
    }
    for (int64_t i = 0; i < count; ++i) {
        memcpy(out + (size_t)i * element, in + (size_t)from * element, element);
        for (int64_t axis = rank - 1; axis >= 0; --axis) {
            from += stride[axis];
            if (++at[axis] < shape->v[1 + axis])
                break;
            from -= stride[axis] * shape->v[1 + axis];
            at[axis] = 0;
        }
    }
}

cbm_tensor *cbm_npy_tensor(cbm_context *cx, const char *name, const uint8_t *bytes, size_t size)
{
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_tensor_none(cx);
    cbm_heap *heap = cbm_context_heap(cx);
    cbm_problem problem = { 0 };
    cbm_npy npy;
    size_t wide = 0;
    if (!cbm_npy_parse(bytes, size, &npy, &problem)) {
        cbm_report(cx, "npy", name, &problem);
        return cbm_tensor_none(cx);
    }
    bool turn = npy.fortran && npy.shape.v[0] > 1;
    bool fits = cbm_bytes_of(&npy.shape, npy.type->dtype, &wide);
    size_t taken = wide ? wide : 1;
    uint8_t *data = fits ? cbm_heap_take(heap, taken) : NULL,
            *turned = data && turn ? cbm_heap_take(heap, taken) : NULL;
    if (!data || (turn && !turned)) {
        cbm_heap_give(heap, data, taken);
        cbm_refuse(&problem, CBM_ERROR_MEMORY, "no memory for its elements");
        cbm_report(cx, "npy", name, &problem);
        return cbm_tensor_none(cx);
    }
    cbm_stored_read(npy.type, npy.data, npy.big, data, (size_t)cbm_shape_count(&npy.shape));
    if (turn) {
        transpose(data, turned, &npy.shape, cbm_dtype_size(npy.type->dtype));
        cbm_heap_give(heap, data, taken);
        data = turned;
    }
    return cbm_tensor_adopt(cx, npy.type->dtype, npy.shape, data, taken);
}

cbm_tensor *cbm_npy_read_memory(cbm_context *cx, const void *bytes, size_t size)
{
    if (cbm_context_status(cx) == CBM_OK && !bytes)
        cbm_fail(cx, CBM_ERROR_INVALID, "[npy] bytes is NULL");
    return cbm_npy_tensor(cx, NULL, bytes, size);
}

cbm_tensor *cbm_npy_read(cbm_context *cx, const char *path)
{
    if (cbm_context_status(cx) == CBM_OK && !path)
        cbm_fail(cx, CBM_ERROR_INVALID, "[npy] path is NULL");
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_tensor_none(cx);
    cbm_problem problem = { 0 };
    uint8_t *bytes;
    size_t size;
    if (!cbm_file_get(cbm_context_heap(cx), path, &bytes, &size, &problem)) {
        cbm_report(cx, "npy", path, &problem);
        return cbm_tensor_none(cx);
    }
    cbm_tensor *t = cbm_npy_tensor(cx, path, bytes, size);
    cbm_file_free(cx, bytes, size);
    return t;
}

/* ---- writing ---- */

bool cbm_npy_can_write(cbm_context *cx, const char *operation, cbm_dtype dtype)
{
    if (cbm_npy_type(dtype))
        return true;
    cbm_fail(cx, CBM_ERROR_UNSUPPORTED,
             "[%s] NumPy's format has no type for %s. HINT: cbm_cast it to f32, or write safetensors", operation,
             cbm_dtype_name(dtype));
    return false;
}

size_t cbm_npy_header(cbm_dtype dtype, const cbm_shape *shape, uint8_t out[CBM_NPY_HEADER_MAX])
{
    char *text = (char *)out + MAGIC_BYTES + 4;
    size_t room = CBM_NPY_HEADER_MAX - MAGIC_BYTES - 4;
    size_t n = (size_t)snprintf(text, room, "{'descr': '%s', 'fortran_order': False, 'shape': (", cbm_npy_type(dtype));
    for (int64_t axis = 1; axis <= shape->v[0]; ++axis)
        n += (size_t)snprintf(text + n, room - n, axis == shape->v[0] && axis > 1 ? "%lld" : "%lld, ",
                              (long long)shape->v[axis]);
    n += (size_t)snprintf(text + n, room - n, "), }");
    while ((MAGIC_BYTES + 4 + n + 1) % 64 != 0) /* the elements begin aligned */
        text[n++] = ' ';
    text[n++] = '\n';
    memcpy(out, MAGIC "\x01", MAGIC_BYTES + 2); /* version 1.0: the terminating 0 is the minor number */
    cbm_put_u16_le(out + MAGIC_BYTES + 2, (uint16_t)n);
    return MAGIC_BYTES + 4 + n;
}

cbm_status cbm_npy_write(cbm_tensor *t, const char *path)
{
    cbm_context *cx = cbm_tensor_context(t);
    const void *data = cbm_tensor_data(t);
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_context_status(cx);
    cbm_shape shape = cbm_tensor_shape(t);
    cbm_dtype dtype = cbm_tensor_dtype(t);
    if (!cbm_npy_can_write(cx, "npy", dtype))
        return cbm_context_status(cx);
    uint8_t header[CBM_NPY_HEADER_MAX];
    cbm_writer w;
    cbm_writer_open(&w, cx, "npy", path);
    cbm_writer_put(&w, header, cbm_npy_header(dtype, &shape, header));
    cbm_writer_put(&w, data, (size_t)cbm_tensor_count(t) * cbm_dtype_size(dtype));
    return cbm_writer_commit(&w);
}
