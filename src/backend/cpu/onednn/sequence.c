/* sequence.c: a prepared sequence of oneDNN's primitives: its stages, their memory objects and workspace, and the run. The
   same for all versions of oneDNN. */
#include "backend/cpu/onednn/parts.h"

#include "base/base.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* oneDNN runs on as many threads as OpenMP would give this thread. */
extern void omp_set_num_threads(int threads) __attribute__((weak));
extern int omp_get_max_threads(void) __attribute__((weak));

static int use_threads(int threads)
{
    if (!omp_set_num_threads || !omp_get_max_threads)
        return threads;
    const int before = omp_get_max_threads();
    if (before != threads)
        omp_set_num_threads(threads);
    return before;
}

static struct {
    pthread_once_t once;
    dnnl_engine_t engine; /* lives as long as the process: primitives share it */
} library = { .once = PTHREAD_ONCE_INIT };

static void open_library(void)
{
    if (dnnl_engine_create(&library.engine, dnnl_cpu, 0) != dnnl_success)
        library.engine = NULL;
}

dnnl_engine_t cbm_dnn_engine(void)
{
    pthread_once(&library.once, open_library);
    return library.engine;
}

bool cbm_dnn_present(void)
{
    return cbm_dnn_engine() != NULL;
}

const char *cbm_dnn_version(void)
{
    static char text[40];
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, sizeof text, "oneDNN %d.%d.%d", v->major, v->minor, v->patch); /* the same whoever writes it */
    return text;
}

/* All bf16 code of oneDNN for x86-64 needs AVX-512. */
bool cbm_dnn_bf16(void)
{
    return cbm_dnn_present() && cbm_dnn_wide();
}

bool cbm_dnn_tiles(void)
{
    return cbm_dnn_present() &&
           (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_amx) == dnnl_cpu_isa_avx512_core_amx;
}

bool cbm_dnn_wide(void)
{
    return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
}

/* ---- making ---- */

cbm_dnn *cbm_dnn_begin(int64_t threads)
{
    cbm_dnn *d = cbm_dnn_engine() ? calloc(1, sizeof *d) : NULL;
    if (!d)
        return NULL;
    threads = cbm_parallel_threads(threads);
    d->threads = threads < 1 ? 1 : threads > 1024 ? 1024 : (int)threads;
    if (dnnl_stream_create(&d->stream, cbm_dnn_engine(), dnnl_stream_default_flags) != dnnl_success) {
        free(d);
        return NULL;
    }
    d->outer_threads = use_threads(d->threads);
    return d;
}

cbm_dnn *cbm_dnn_end(cbm_dnn *d, bool ok)
{
    use_threads(d->outer_threads);
    if (ok)
        return d;
    cbm_dnn_free(d);
    return NULL;
}

void cbm_dnn_free(cbm_dnn *d)
{
    if (!d)
        return;
    for (int i = 0; i < d->n_stages; i++)
        dnnl_primitive_destroy(d->stages[i].primitive);
    for (int i = 0; i < d->n_memories; i++)
        dnnl_memory_destroy(d->memories[i]);
    dnnl_stream_destroy(d->stream);
    free(d);
}

dnnl_memory_t cbm_dnn_memory(cbm_dnn *d, cbm_dnn_desc desc, int pointer)
{
    const int i = d->n_memories;
    if (i == CBM_DNN_MEMORIES ||
        dnnl_memory_create(&d->memories[i], desc, cbm_dnn_engine(), DNNL_MEMORY_NONE) != dnnl_success)
        return NULL;
    const size_t bytes = (dnnl_memory_desc_get_size(desc) + 63) / 64 * 64;
    d->pointer[i] = pointer;
    if (pointer == CBM_DNN_BUFFER) {
        d->offset[i] = d->buffers;
        d->buffers += bytes;
    } else if (pointer == CBM_DNN_SCRATCH && bytes > d->scratch) {
        d->scratch = bytes;
    }
    d->n_memories++;
    return d->memories[i];
}

bool cbm_dnn_stage_add(cbm_dnn *d, dnnl_primitive_desc_t pd, const dnnl_exec_arg_t *arguments, int count)
{
    dnnl_primitive_t primitive;
    if (d->n_stages == CBM_DNN_STAGES || count >= CBM_DNN_ARGUMENTS ||
        dnnl_primitive_create(&primitive, pd) != dnnl_success)
        return false;
    cbm_dnn_stage *s = &d->stages[d->n_stages++];
    *s = (cbm_dnn_stage){ .primitive = primitive, .count = count };
    memcpy(s->arguments, arguments, (size_t)count * sizeof *arguments);
    cbm_dnn_desc desc = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    if (!desc || dnnl_memory_desc_get_size(desc) == 0)
        return true;
    dnnl_memory_t scratch = cbm_dnn_memory(d, desc, CBM_DNN_SCRATCH);
    s->arguments[s->count++] = (dnnl_exec_arg_t){ DNNL_ARG_SCRATCHPAD, scratch };
    return scratch != NULL;
}

dnnl_primitive_attr_t cbm_dnn_attributes(void)
{
    dnnl_primitive_attr_t attr;
    if (dnnl_primitive_attr_create(&attr) != dnnl_success)
        return NULL;
    dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    return attr;
}

static bool append(dnnl_post_ops_t ops, const cbm_dnn_post *p)
{
    if (p->sum && !cbm_dnn_append_sum(ops))
        return false;
    if (p->added && dnnl_post_ops_append_binary(ops, dnnl_binary_add, p->added) != dnnl_success)
        return false;
    if (p->upper > 0)
        return cbm_dnn_append_eltwise(ops, dnnl_eltwise_clip, 0, p->upper);
    return !p->relu || cbm_dnn_append_eltwise(ops, dnnl_eltwise_relu, 0, 0);
}

dnnl_primitive_attr_t cbm_dnn_post_attributes(const cbm_dnn_post *post)
{
    dnnl_primitive_attr_t attr = cbm_dnn_attributes();
    dnnl_post_ops_t ops;
    bool ok = attr && dnnl_post_ops_create(&ops) == dnnl_success;
    if (ok) {
        ok = append(ops, post) && dnnl_primitive_attr_set_post_ops(attr, ops) == dnnl_success;
        dnnl_post_ops_destroy(ops);
    }
    if (ok || !attr)
        return attr;
    dnnl_primitive_attr_destroy(attr);
    return NULL;
}

bool cbm_dnn_reorder(cbm_dnn *d, dnnl_memory_t from, dnnl_memory_t to)
{
    cbm_dnn_desc from_desc, to_desc;
    dnnl_primitive_desc_t pd;
    dnnl_engine_t engine = cbm_dnn_engine();
    dnnl_primitive_attr_t attr = cbm_dnn_attributes();
    dnnl_memory_get_memory_desc(from, &from_desc);
    dnnl_memory_get_memory_desc(to, &to_desc);
    bool ok = attr && dnnl_reorder_primitive_desc_create(&pd, from_desc, engine, to_desc, engine, attr) == dnnl_success;
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    if (!ok)
        return false;
    const dnnl_exec_arg_t arguments[] = { { DNNL_ARG_FROM, from }, { DNNL_ARG_TO, to } };
    ok = cbm_dnn_stage_add(d, pd, arguments, 2);
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

dnnl_memory_t cbm_dnn_operand(cbm_dnn *d, cbm_dnn_desc own, cbm_dnn_desc wanted, int pointer, bool read,
                              dnnl_memory_t *back)
{
    dnnl_memory_t user = cbm_dnn_memory(d, own, pointer);
    if (!user || dnnl_memory_desc_equal(own, wanted))
        return user;
    dnnl_memory_t inner = cbm_dnn_memory(d, wanted, CBM_DNN_BUFFER);
    if (!inner || (read && !cbm_dnn_reorder(d, user, inner)))
        return NULL;
    if (back)
        *back = user;
    return inner;
}

const char *cbm_dnn_implementation(const_dnnl_primitive_desc_t pd)
{
    const char *name = "";
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    return name;
}

const char *cbm_dnn_describe(const cbm_dnn *d)
{
    return d->description;
}

bool cbm_dnn_sure(const cbm_dnn *d)
{
    return strstr(d->description, "gemm") == NULL;
}

/* ---- running ---- */

size_t cbm_dnn_workspace(const cbm_dnn *d)
{
    return d->buffers + d->scratch;
}

static void *address_of(const cbm_dnn *d, int i, void *const *pointers, char *workspace)
{
    switch (d->pointer[i]) {
    case CBM_DNN_BUFFER: return workspace + d->offset[i];
    case CBM_DNN_SCRATCH: return workspace + d->buffers;
    default: return pointers[d->pointer[i]];
    }
}

bool cbm_dnn_run(cbm_dnn *d, void *const *pointers, void *workspace)
{
    for (int i = 0; i < d->n_memories; i++) {
        void *p = address_of(d, i, pointers, workspace);
        if (p == d->last[i])
            continue;
        d->last[i] = NULL;
        if (dnnl_memory_set_data_handle(d->memories[i], p) != dnnl_success)
            return false;
        d->last[i] = p;
    }
    const int before = use_threads(d->threads);
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < d->n_stages && status == dnnl_success; i++)
        status = dnnl_primitive_execute(d->stages[i].primitive, d->stream, d->stages[i].count, d->stages[i].arguments);
    if (status == dnnl_success)
        status = dnnl_stream_wait(d->stream);
    if (before != d->threads)
        use_threads(before);
    return status == dnnl_success;
}
