/* dispatch.c: which level of SIMD functions this processor runs, decided once. Rests on the compiler's feature tests and
   POSIX threads. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/onednn.h"

#include <pthread.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

void cbm_simd_fill_baseline(cbm_simd *s);
#if defined(__x86_64__)
void cbm_simd_fill_avx2(cbm_simd *s);
void cbm_simd_fill_avx512(cbm_simd *s);
#endif

static struct {
    pthread_once_t once;
    int count; /* from the plainest on */
    cbm_simd level[3];
    const cbm_simd *chosen; /* by a test */
} levels = { .once = PTHREAD_ONCE_INIT };

static void find_levels(void)
{
    cbm_simd_fill_baseline(&levels.level[levels.count++]);
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return;
    cbm_simd_fill_avx2(&levels.level[levels.count++]);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        cbm_simd_fill_avx512(&levels.level[levels.count++]);
#endif
}

const cbm_simd *cbm_simd_get(void)
{
    pthread_once(&levels.once, find_levels);
    return levels.chosen ? levels.chosen : &levels.level[levels.count - 1];
}

const cbm_simd *cbm_simd_named(const char *name)
{
    pthread_once(&levels.once, find_levels);
    for (int i = 0; i < levels.count; i++)
        if (strcmp(levels.level[i].name, name) == 0)
            return &levels.level[i];
    return NULL;
}

void cbm_simd_choose(const cbm_simd *level)
{
    levels.chosen = level;
}

/* Bytes of the last cache that a core's loads go through. */
static int64_t last_cache(void)
{
    int64_t bytes = 0;
#if defined(__x86_64__)
    static const unsigned leaves[] = { 4, 0x8000001d }; /* Intel's, AMD's */
    unsigned a, b, c, d;
    for (int k = 0; k < 2 && bytes == 0; k++)
        for (unsigned i = 0; i < 8 && __get_cpuid_count(leaves[k], i, &a, &b, &c, &d) && (a & 31) != 0; i++)
            bytes = (int64_t)((b >> 22) + 1) * ((b >> 12 & 1023) + 1) * ((b & 4095) + 1) * ((int64_t)c + 1);
#endif
    return bytes;
}

static struct {
    pthread_once_t once;
    int64_t bytes, chosen; /* chosen: by a test */
} cache = { .once = PTHREAD_ONCE_INIT, .chosen = -1 };

static void find_cache(void)
{
    enum { MOST = 32 << 20 }; /* a larger one is shared by more than this process's cores */
    const int64_t bytes = last_cache();
    cache.bytes = bytes > 0 && bytes < MOST ? bytes : MOST;
}

bool cbm_cpu_streams(int64_t bytes)
{
    pthread_once(&cache.once, find_cache);
    return bytes > (cache.chosen >= 0 ? cache.chosen : cache.bytes);
}

void cbm_cpu_stream_from(int64_t bytes)
{
    cache.chosen = bytes;
}

cbm_layout cbm_cpu_blocked(void)
{
    const char *name = cbm_simd_get()->name;
    return strcmp(name, "avx512") == 0 ? CBM_LAYOUT_BLOCKED_16
           : strcmp(name, "avx2") == 0 ? CBM_LAYOUT_BLOCKED_8
                                       : CBM_LAYOUT_PLAIN;
}

bool cbm_cpu_bf16(void)
{
    enum { AVX512_BF16 = 1 << 5 }; /* of eax in cpuid's leaf 7.1 */
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
#if defined(__x86_64__)
    if (!__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx))
        return false;
#endif
    return cbm_dnn_bf16() && (eax & AVX512_BF16) && strcmp(cbm_simd_get()->name, "avx512") == 0;
}

bool cbm_cpu_bf16_tiles(void)
{
    return cbm_cpu_bf16() && cbm_dnn_tiles();
}
