/* reorder.c: an (N, C, ...) buffer from one layout into another, element by element. Rests on reference.h. */
#include "backend/reference/reference.h"

#include <string.h>

/* Where element (n, c, s) lies, s counting the places after the channels: n C S + ... */
static int64_t place_of(int32_t layout, int64_t channels, int64_t places, int64_t n, int64_t c, int64_t s)
{
    int64_t block = channels; /* one block of all channels: N, H, W, C */
    switch (layout) {
    case CBM_LAYOUT_PLAIN: block = 1; break;
    case CBM_LAYOUT_BLOCKED_8: block = 8; break;
    case CBM_LAYOUT_BLOCKED_16: block = 16; break;
    default: break;
    }
    return n * channels * places + (c / block * places + s) * block + c % block;
}

void cbm_reference_reorder(const cbm_buffer *from, const cbm_buffer *to, int64_t threads)
{
    const size_t size = cbm_dtype_size(from->dtype);
    const int64_t channels = from->rank > 1 ? from->shape[1] : 1;
    int64_t places = 1;
    (void)threads;
    for (int64_t d = 2; d < from->rank; d++)
        places *= from->shape[d];
    for (int64_t k = 0; k < from->count; k++) {
        const int64_t s = k % places, c = k / places % channels, n = k / places / channels;
        memcpy((char *)to->data + (size_t)place_of(to->layout, channels, places, n, c, s) * size,
               (const char *)from->data + (size_t)place_of(from->layout, channels, places, n, c, s) * size, size);
    }
}
