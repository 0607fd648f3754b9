/* idx.c: IDX, the format of the MNIST files: 00 00 type rank, then rank sizes and the elements, all big-endian; plain or
   gzip. http://yann.lecun.com/exdb/mnist. Rests on bytes.h. */
#include "io/idx.h"
#include <string.h>

#define HEAD_MAX (4 + 4 * CBM_MAX_DIMS)

bool cbm_idx_is_gzip(const uint8_t *bytes, size_t size)
{
    return size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

/* The header in the first n bytes; total is the size that the whole (uncompressed) file must have. */
static bool parse_header(const uint8_t *p, size_t n, cbm_idx *out, uint64_t *total, cbm_problem *problem)
{
    if (n < 4)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "%zu bytes are too few for an IDX file: empty or truncated", n);
    if (p[0] != 0 || p[1] != 0)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "not an IDX file: it must begin with two zero bytes");
    out->type = cbm_stored_idx(p[2]);
    if (!out->type)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "unknown IDX element type 0x%02x", p[2]);
    unsigned rank = p[3];
    if (rank > CBM_MAX_DIMS)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "%u dimensions; at most %d are possible", rank, CBM_MAX_DIMS);
    out->header = 4 + 4 * (size_t)rank;
    if (n < out->header)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "its header is truncated");
    out->shape.v[0] = rank;
    for (unsigned axis = 0; axis < rank; ++axis)
        out->shape.v[1 + axis] = cbm_u32_be(p + 4 + 4 * axis);
    int64_t count = cbm_shape_count(&out->shape);
    if (count < 0 || __builtin_mul_overflow((uint64_t)count, (uint64_t)out->type->bits / 8, total) ||
        __builtin_add_overflow(*total, (uint64_t)out->header, total) || *total > SIZE_MAX / 2)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "its header claims more elements than can be counted");
    return true;
}

bool cbm_idx_parse(cbm_heap *heap, const uint8_t *bytes, size_t size, cbm_idx *out, cbm_problem *problem)
{
    *out = (cbm_idx){ .heap = heap };
    uint64_t total;
    if (!cbm_idx_is_gzip(bytes, size)) {
        if (!parse_header(bytes, size, out, &total, problem))
            return false;
        if (total != size)
            return cbm_refuse(problem, CBM_ERROR_FORMAT, "%zu bytes where its header says %llu%s", size,
                              (unsigned long long)total, size < total ? ": truncated" : "");
        out->data = bytes + out->header;
        return true;
    }
    uint8_t head[HEAD_MAX];
    size_t produced;
    if (!cbm_inflate(heap, CBM_DEFLATED_GZIP, bytes, size, head, sizeof head, false, &produced, problem) ||
        !parse_header(head, produced, out, &total, problem))
        return false;
    if (!cbm_deflate_plausible(size, total))
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "%zu compressed bytes cannot hold the %llu that its header says",
                          size, (unsigned long long)total);
    out->inflated_size = (size_t)total;
    out->inflated = cbm_heap_take(heap, (size_t)total);
    if (!out->inflated)
        return cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory for its %llu bytes", (unsigned long long)total);
    if (!cbm_inflate(heap, CBM_DEFLATED_GZIP, bytes, size, out->inflated, (size_t)total, true, &produced, problem)) {
        cbm_idx_free(out);
        return false;
    }
    out->data = out->inflated + out->header;
    return true;
}

void cbm_idx_free(cbm_idx *idx)
{
    cbm_heap_give(idx->heap, idx->inflated, idx->inflated_size);
    idx->inflated = NULL;
    idx->data = NULL;
}

static cbm_tensor *tensor_of(cbm_context *cx, const char *path, const uint8_t *bytes, size_t size)
{
    cbm_problem problem = { 0 };
    cbm_idx idx;
    cbm_heap *heap = cbm_context_heap(cx);
    cbm_tensor *t = NULL;
    size_t wide;
    if (cbm_idx_parse(heap, bytes, size, &idx, &problem)) {
        uint8_t *data = NULL;
        if (cbm_bytes_of(&idx.shape, idx.type->dtype, &wide))
            data = cbm_heap_take(heap, wide ? wide : 1);
        if (data) {
            cbm_stored_read(idx.type, idx.data, true, data, (size_t)cbm_shape_count(&idx.shape));
            t = cbm_tensor_adopt(cx, idx.type->dtype, idx.shape, data, wide ? wide : 1);
        } else {
            cbm_refuse(&problem, CBM_ERROR_MEMORY, "no memory for its elements");
        }
        cbm_idx_free(&idx);
    }
    if (problem.status != CBM_OK)
        cbm_report(cx, "idx", path, &problem);
    return t ? t : cbm_tensor_none(cx);
}

cbm_tensor *cbm_idx_read_memory(cbm_context *cx, const void *bytes, size_t size)
{
    if (cbm_context_status(cx) == CBM_OK && !bytes)
        cbm_fail(cx, CBM_ERROR_INVALID, "[idx] bytes is NULL");
    return cbm_context_status(cx) == CBM_OK ? tensor_of(cx, NULL, bytes, size) : cbm_tensor_none(cx);
}

cbm_tensor *cbm_idx_read(cbm_context *cx, const char *path)
{
    if (cbm_context_status(cx) == CBM_OK && !path)
        cbm_fail(cx, CBM_ERROR_INVALID, "[idx] path is NULL");
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_tensor_none(cx);
    cbm_problem problem = { 0 };
    uint8_t *bytes;
    size_t size;
    if (!cbm_file_get(cbm_context_heap(cx), path, &bytes, &size, &problem)) {
        cbm_report(cx, "idx", path, &problem);
        return cbm_tensor_none(cx);
    }
    cbm_tensor *t = tensor_of(cx, path, bytes, size);
    cbm_file_free(cx, bytes, size);
    return t;
}
