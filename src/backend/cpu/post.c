/* post.c: what is done to a kernel's result once it is written, where the kernel's own code does not do it on the way. Rests on
   simd/rows.c. */
#include "backend/cpu/cpu.h"

enum { PART = 4096 }; /* elements of a result without rows that are taken at a time */

typedef struct job {
    const cbm_simd *simd;
    const cbm_post *post;
    float *y;
    const float *bias, *added;
    int64_t columns, count;
} job;

static void rows(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = i * j->columns, n = j->count - at < j->columns ? j->count - at : j->columns;
        j->simd->finish(j->y + at, j->bias, j->added ? j->added + at : NULL, j->post->relu, j->post->upper, n);
    }
}

void cbm_post_run(const cbm_post *post, float *y, int64_t count, const float *bias, int64_t columns, const float *added,
                  int64_t threads)
{
    if (!post->bias && !post->add && !post->relu)
        return;
    columns = post->bias ? columns : PART;
    job j = { cbm_simd_get(), post, y, post->bias ? bias : NULL, post->add ? added : NULL, columns, count };
    cbm_parallel_for((count + columns - 1) / columns, cbm_grain(columns), threads, rows, &j);
}
