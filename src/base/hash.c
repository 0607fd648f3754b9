/* hash.c: a fast 64-bit hash in the manner of wyhash (Wang Yi): 128-bit products folded to 64 bits. Not
   cryptographic, and not the same on machines of the other byte order: never stored. */
#include "base/base.h"

#include <string.h>

static const uint64_t secret[4] = { 0xa0761d6478bd642fU, 0xe7037ed1a0b428dbU, 0x8ebc6af09c88c6e3U,
                                    0x589965cc75374cc3U };

/* The high and the low half of a * b, exclusive-or. */
static uint64_t fold(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    uint64_t a0 = a & 0xffffffffU, a1 = a >> 32, b0 = b & 0xffffffffU, b1 = b >> 32;
    uint64_t low = a0 * b0, middle = a1 * b0 + (low >> 32), other = a0 * b1 + (middle & 0xffffffffU);
    return (a1 * b1 + (middle >> 32) + (other >> 32)) ^ ((other << 32) | (low & 0xffffffffU));
#endif
}

static uint64_t read64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* The last 1 to 16 bytes as two numbers that together hold every byte. */
static void read_rest(const unsigned char *p, size_t size, uint64_t *a, uint64_t *b)
{
    *a = *b = 0;
    if (size >= 8) {
        *a = read64(p);
        *b = read64(p + size - 8);
        return;
    }
    if (size >= 4) {
        uint32_t first, last;
        memcpy(&first, p, sizeof first);
        memcpy(&last, p + size - 4, sizeof last);
        *a = first;
        *b = last;
        return;
    }
    if (size > 0)
        *a = (uint64_t)p[0] << 16 | (uint64_t)p[size / 2] << 8 | p[size - 1];
}

uint64_t cbm_hash_bytes(const void *data, size_t size, uint64_t seed)
{
    const unsigned char *p = data;
    size_t left = size;
    uint64_t h = seed ^ fold(seed ^ secret[0], secret[1]), h1 = h, h2 = h, a, b;
    if (left > 48) {
        do {
            h = fold(read64(p) ^ secret[1], read64(p + 8) ^ h);
            h1 = fold(read64(p + 16) ^ secret[2], read64(p + 24) ^ h1);
            h2 = fold(read64(p + 32) ^ secret[3], read64(p + 40) ^ h2);
            p += 48;
            left -= 48;
        } while (left > 48);
        h ^= h1 ^ h2;
    }
    while (left > 16) {
        h = fold(read64(p) ^ secret[1], read64(p + 8) ^ h);
        p += 16;
        left -= 16;
    }
    read_rest(p, left, &a, &b);
    return fold(secret[1] ^ (uint64_t)size, fold(a ^ secret[1], b ^ h));
}
