/* inflate.c: zlib's inflate over bytes in memory, with the context's allocator. Rests on zlib and base. */
#include "io/bytes.h"
#include <string.h>
#include <zlib.h>

#define DEFLATE_RATIO 1032u
#define WINDOW_RAW (-15)
#define WINDOW_GZIP (15 + 16)
#define FEED ((size_t)1 << 30) /* zlib counts in unsigned int */

/* zlib frees without saying how much: the size stands in front of each block. */
#define FRONT 64

static voidpf take(voidpf user, uInt items, uInt size)
{
    size_t bytes = (size_t)items * size + FRONT;
    uint8_t *memory = cbm_heap_take(user, bytes);
    if (!memory)
        return Z_NULL;
    memcpy(memory, &bytes, sizeof bytes);
    return memory + FRONT;
}

static void give(voidpf user, voidpf memory)
{
    if (!memory)
        return;
    uint8_t *block = (uint8_t *)memory - FRONT;
    size_t bytes;
    memcpy(&bytes, block, sizeof bytes);
    cbm_heap_give(user, block, bytes);
}

bool cbm_deflate_plausible(uint64_t in_size, uint64_t out_size)
{
    return out_size / DEFLATE_RATIO <= in_size;
}

bool cbm_inflate(cbm_heap *heap, cbm_deflated kind, const uint8_t *in, size_t in_size, uint8_t *out, size_t out_size,
                 bool whole, size_t *produced, cbm_problem *problem)
{
    *produced = 0;
    z_stream z = { .zalloc = take, .zfree = give, .opaque = heap };
    if (inflateInit2(&z, kind == CBM_DEFLATED_RAW ? WINDOW_RAW : WINDOW_GZIP) != Z_OK)
        return cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory to decompress");
    size_t fed = 0, filled = 0;
    int result = Z_OK;
    uint8_t beyond[1]; /* room to notice that more comes than expected */
    while (result == Z_OK) {
        size_t more_in = in_size - fed < FEED ? in_size - fed : FEED;
        size_t more_out = out_size - filled < FEED ? out_size - filled : FEED;
        bool full = more_out == 0;
        if (full && !whole)
            break;
        z.next_in = (z_const Bytef *)(uintptr_t)(in + fed);
        z.avail_in = (uInt)more_in;
        z.next_out = full ? beyond : out + filled;
        z.avail_out = full ? 1 : (uInt)more_out;
        result = inflate(&z, Z_NO_FLUSH);
        fed += more_in - z.avail_in;
        if (full && z.avail_out == 0) {
            inflateEnd(&z);
            return cbm_refuse(problem, CBM_ERROR_FORMAT, "more data than its header says");
        }
        if (!full)
            filled += more_out - z.avail_out;
        if (result == Z_OK && more_in == z.avail_in && !full && more_out == z.avail_out)
            result = Z_BUF_ERROR;
    }
    inflateEnd(&z);
    *produced = filled;
    if (!whole && (result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR))
        return true;
    if (result == Z_MEM_ERROR)
        return cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory to decompress");
    if (result == Z_BUF_ERROR)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "the compressed data ends too early: the file is truncated");
    if (result != Z_STREAM_END)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "the compressed data is damaged");
    if (filled != out_size)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "%zu bytes where its header says %zu", filled, out_size);
    if (fed != in_size)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "data behind the end of the compressed stream");
    return true;
}
