/* onednn.c: matrix products and convolutions by oneDNN 2.x. User memory is plain; convolutions work in blocked layouts
   inside, with reorders around. When plans keep blocked layouts between operations, those reorders move to the borders:
   they are stages of their own here, at the places marked. */
#include "backend/cpu/onednn.h"

#if !defined(CBM_HAVE_ONEDNN)

bool cbm_dnn_present(void)
{
    return false;
}
cbm_dnn *cbm_dnn_matmul(const cbm_dnn_product *p, int64_t threads)
{
    (void)p;
    (void)threads;
    return NULL;
}
cbm_dnn *cbm_dnn_convolution(const cbm_dnn_conv *c, int64_t threads)
{
    (void)c;
    (void)threads;
    return NULL;
}
size_t cbm_dnn_workspace(const cbm_dnn *d)
{
    (void)d;
    return 0;
}
bool cbm_dnn_run(cbm_dnn *d, void *const *pointers, void *workspace)
{
    (void)d;
    (void)pointers;
    (void)workspace;
    return false;
}
const char *cbm_dnn_describe(const cbm_dnn *d)
{
    (void)d;
    return "";
}
void cbm_dnn_free(cbm_dnn *d)
{
    (void)d;
}

#else

#include "base/base.h"

#include "base/base.h"

#include <dnnl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STAGES = 5, MEMORIES = 10, ARGUMENTS = 5, WORKSPACE = -1 };

typedef struct stage {
    dnnl_primitive_t primitive;
    int count;
    dnnl_exec_arg_t arguments[ARGUMENTS];
} stage;

struct cbm_dnn {
    dnnl_stream_t stream;
    int threads;
    int n_stages, n_memories;
    stage stages[STAGES];
    dnnl_memory_t memories[MEMORIES];
    int pointer[MEMORIES]; /* the user's pointer number, or WORKSPACE */
    size_t offset[MEMORIES];
    size_t workspace;
    char description[160];
};

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

static dnnl_engine_t engine(void)
{
    pthread_once(&library.once, open_library);
    return library.engine;
}

bool cbm_dnn_present(void)
{
    return engine() != NULL;
}

/* ---- building blocks ---- */

static cbm_dnn *open_sequence(int64_t threads)
{
    cbm_dnn *d = engine() ? calloc(1, sizeof *d) : NULL;
    if (!d)
        return NULL;
    threads = cbm_parallel_threads(threads);
    d->threads = threads < 1 ? 1 : threads > 1024 ? 1024 : (int)threads;
    if (dnnl_stream_create(&d->stream, engine(), dnnl_stream_default_flags) == dnnl_success)
        return d;
    free(d);
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

/* A memory object whose address comes with each run. */
static dnnl_memory_t add_memory(cbm_dnn *d, const dnnl_memory_desc_t *desc, int pointer)
{
    dnnl_memory_t m;
    if (d->n_memories == MEMORIES || dnnl_memory_create(&m, desc, engine(), DNNL_MEMORY_NONE) != dnnl_success)
        return NULL;
    d->memories[d->n_memories] = m;
    d->pointer[d->n_memories] = pointer;
    if (pointer == WORKSPACE) {
        d->offset[d->n_memories] = d->workspace;
        d->workspace += (dnnl_memory_desc_get_size(desc) + 63) / 64 * 64;
    }
    d->n_memories++;
    return m;
}

static stage *add_stage(cbm_dnn *d, dnnl_primitive_desc_t pd)
{
    dnnl_primitive_t primitive;
    if (d->n_stages == STAGES || dnnl_primitive_create(&primitive, pd) != dnnl_success)
        return NULL;
    d->stages[d->n_stages] = (stage){ .primitive = primitive };
    return &d->stages[d->n_stages++];
}

static void add_argument(stage *s, int argument, dnnl_memory_t memory)
{
    s->arguments[s->count++] = (dnnl_exec_arg_t){ argument, memory };
}

static bool add_scratchpad(cbm_dnn *d, stage *s, dnnl_primitive_desc_t pd)
{
    const dnnl_memory_desc_t *desc = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    if (!desc || dnnl_memory_desc_get_size(desc) == 0)
        return true;
    dnnl_memory_t m = add_memory(d, desc, WORKSPACE);
    if (m)
        add_argument(s, DNNL_ARG_SCRATCHPAD, m);
    return m != NULL;
}

static dnnl_primitive_attr_t user_scratchpad(void)
{
    dnnl_primitive_attr_t attr;
    if (dnnl_primitive_attr_create(&attr) != dnnl_success)
        return NULL;
    dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    return attr;
}

static const char *implementation(dnnl_primitive_desc_t pd)
{
    const char *name = "";
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    return name;
}

/* The first implementation that is not oneDNN's reference code; NULL: there is none. */
static dnnl_primitive_desc_t fast_primitive(const void *op_desc)
{
    dnnl_primitive_attr_t attr = user_scratchpad();
    dnnl_primitive_desc_t pd = NULL;
    if (attr && dnnl_primitive_desc_create(&pd, op_desc, attr, engine(), NULL) != dnnl_success)
        pd = NULL;
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    if (pd && strncmp(implementation(pd), "ref", 3) == 0) {
        dnnl_primitive_desc_destroy(pd);
        pd = NULL;
    }
    return pd;
}

static bool add_reorder(cbm_dnn *d, dnnl_memory_t from, dnnl_memory_t to)
{
    const dnnl_memory_desc_t *from_desc, *to_desc;
    dnnl_primitive_desc_t pd;
    dnnl_primitive_attr_t attr = user_scratchpad();
    dnnl_memory_get_memory_desc(from, &from_desc);
    dnnl_memory_get_memory_desc(to, &to_desc);
    const dnnl_status_t made =
        attr ? dnnl_reorder_primitive_desc_create(&pd, from_desc, engine(), to_desc, engine(), attr)
             : dnnl_out_of_memory;
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    if (made != dnnl_success)
        return false;
    stage *s = add_stage(d, pd);
    bool ok = s != NULL;
    if (ok) {
        add_argument(s, DNNL_ARG_FROM, from);
        add_argument(s, DNNL_ARG_TO, to);
        ok = add_scratchpad(d, s, pd);
    }
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

size_t cbm_dnn_workspace(const cbm_dnn *d)
{
    return d->workspace;
}

const char *cbm_dnn_describe(const cbm_dnn *d)
{
    return d->description;
}

bool cbm_dnn_run(cbm_dnn *d, void *const *pointers, void *workspace)
{
    for (int i = 0; i < d->n_memories; i++) {
        void *p = d->pointer[i] == WORKSPACE ? (char *)workspace + d->offset[i] : pointers[d->pointer[i]];
        if (dnnl_memory_set_data_handle(d->memories[i], p) != dnnl_success)
            return false;
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

/* ---- matrix product ---- */

static bool matrix_desc(dnnl_memory_desc_t *desc, int64_t rank, int64_t batch, int64_t rows, int64_t columns,
                        const int64_t stride[3])
{
    const dnnl_dims_t dims = { rank == 3 ? (stride[0] == 0 ? 1 : batch) : rows, rank == 3 ? rows : columns, columns };
    dnnl_dims_t strides = { stride[1], stride[2] };
    if (rank == 3) {
        strides[0] = stride[0] == 0 ? rows * columns : stride[0];
        strides[1] = stride[1];
        strides[2] = stride[2];
    }
    return dnnl_memory_desc_init_by_strides(desc, (int)rank, dims, dnnl_f32, strides) == dnnl_success;
}

static bool add_matmul(cbm_dnn *d, const cbm_dnn_product *p)
{
    dnnl_memory_desc_t a, b, c;
    dnnl_matmul_desc_t desc;
    if (!matrix_desc(&a, p->rank, p->batch, p->m, p->k, p->a_stride) ||
        !matrix_desc(&b, p->rank, p->batch, p->k, p->n, p->b_stride) ||
        !matrix_desc(&c, p->rank, p->batch, p->m, p->n, p->c_stride) ||
        dnnl_matmul_desc_init(&desc, &a, &b, NULL, &c) != dnnl_success)
        return false;
    dnnl_primitive_desc_t pd = fast_primitive(&desc);
    if (!pd)
        return false;
    snprintf(d->description, sizeof d->description, "%s", implementation(pd));
    dnnl_memory_t ma = add_memory(d, &a, 0), mb = add_memory(d, &b, 1), mc = add_memory(d, &c, 2);
    stage *s = ma && mb && mc ? add_stage(d, pd) : NULL;
    bool ok = s != NULL;
    if (ok) {
        add_argument(s, DNNL_ARG_SRC, ma);
        add_argument(s, DNNL_ARG_WEIGHTS, mb);
        add_argument(s, DNNL_ARG_DST, mc);
        ok = add_scratchpad(d, s, pd);
    }
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

cbm_dnn *cbm_dnn_matmul(const cbm_dnn_product *p, int64_t threads)
{
    cbm_dnn *d = open_sequence(threads);
    if (!d)
        return NULL;
    const int before = use_threads(d->threads);
    const bool ok = add_matmul(d, p);
    use_threads(before);
    if (ok)
        return d;
    cbm_dnn_free(d);
    return NULL;
}

/* ---- convolution ---- */

typedef struct conv_descs {
    dnnl_memory_desc_t x, weight, bias, y; /* as the primitive is to have them; weight: any */
    dnnl_memory_desc_t plain_x, plain_weight, plain_y;
} conv_descs;

static bool activation_desc(dnnl_memory_desc_t *desc, int64_t n, int64_t c, int64_t h, int64_t w, dnnl_format_tag_t tag)
{
    const dnnl_dims_t dims = { n, c, h, w };
    return dnnl_memory_desc_init_by_tag(desc, 4, dims, dnnl_f32, tag) == dnnl_success;
}

static bool weight_desc(dnnl_memory_desc_t *desc, const cbm_dnn_conv *c, bool any)
{
    const int64_t g = c->groups;
    if (g == 1) {
        const dnnl_dims_t dims = { c->out_channels, c->channels, c->kernel[0], c->kernel[1] };
        return dnnl_memory_desc_init_by_tag(desc, 4, dims, dnnl_f32, any ? dnnl_format_tag_any : dnnl_oihw) ==
               dnnl_success;
    }
    const dnnl_dims_t dims = { g, c->out_channels / g, c->channels / g, c->kernel[0], c->kernel[1] };
    return dnnl_memory_desc_init_by_tag(desc, 5, dims, dnnl_f32, any ? dnnl_format_tag_any : dnnl_goihw) ==
           dnnl_success;
}

static dnnl_format_tag_t tag_of(cbm_layout l)
{
    return l == CBM_LAYOUT_BLOCKED_16      ? dnnl_nChw16c
           : l == CBM_LAYOUT_BLOCKED_8     ? dnnl_nChw8c
           : l == CBM_LAYOUT_CHANNELS_LAST ? dnnl_nhwc
                                           : dnnl_nchw;
}
static bool make_descs(conv_descs *m, const cbm_dnn_conv *c, dnnl_format_tag_t x_tag, dnnl_format_tag_t y_tag)
{
    const dnnl_dims_t bias_dims = { c->out_channels };
    return activation_desc(&m->x, c->batch, c->channels, c->height, c->width, x_tag) &&
           activation_desc(&m->y, c->batch, c->out_channels, c->out_height, c->out_width, y_tag) &&
           activation_desc(&m->plain_x, c->batch, c->channels, c->height, c->width, tag_of(c->x_layout)) &&
           activation_desc(&m->plain_y, c->batch, c->out_channels, c->out_height, c->out_width, tag_of(c->y_layout)) &&
           weight_desc(&m->weight, c, true) && weight_desc(&m->plain_weight, c, false) &&
           dnnl_memory_desc_init_by_tag(&m->bias, 1, bias_dims, dnnl_f32, dnnl_x) == dnnl_success;
}

static dnnl_primitive_desc_t conv_primitive(const cbm_dnn_conv *c, const conv_descs *m, dnnl_alg_kind_t algorithm)
{
    dnnl_convolution_desc_t desc;
    const dnnl_dims_t stride = { c->stride[0], c->stride[1] }, padding = { c->padding[0], c->padding[1] };
    const dnnl_dims_t dilation = { c->dilation[0] - 1, c->dilation[1] - 1 };
    dnnl_status_t status;
    if (c->direction == CBM_DNN_FORWARD)
        status = dnnl_dilated_convolution_forward_desc_init(&desc, dnnl_forward_training, algorithm, &m->x, &m->weight,
                                                            c->bias ? &m->bias : NULL, &m->y, stride, dilation, padding,
                                                            padding);
    else if (c->direction == CBM_DNN_INPUT_GRAD)
        status = dnnl_dilated_convolution_backward_data_desc_init(&desc, algorithm, &m->x, &m->weight, &m->y, stride,
                                                                  dilation, padding, padding);
    else
        status = dnnl_dilated_convolution_backward_weights_desc_init(&desc, algorithm, &m->x, &m->weight, NULL, &m->y,
                                                                     stride, dilation, padding, padding);
    return status == dnnl_success ? fast_primitive(&desc) : NULL;
}

/* Where Winograd's fewer multiplications pay: 3x3 in steps of one with many channels. */
static bool winograd_pays(const cbm_dnn_conv *c)
{
    const int64_t least = c->direction == CBM_DNN_WEIGHT_GRAD ? 32 : 64;
    return !c->direct_only && c->groups == 1 && c->kernel[0] == 3 && c->kernel[1] == 3 && c->stride[0] == 1 &&
           c->stride[1] == 1 && c->dilation[0] == 1 && c->dilation[1] == 1 && c->channels >= least &&
           c->out_channels >= 64;
}

/* Layouts in the order to try them. The first convolution of a network reads plain planes: blocks of 16 would be nearly
   empty, and oneDNN would fall into its reference code. */
static dnnl_primitive_desc_t choose(const cbm_dnn_conv *c, conv_descs *m, const char **layout)
{
    const bool wide = (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
    const dnnl_format_tag_t blocked = wide ? dnnl_nChw16c : dnnl_nChw8c;
    const bool few = c->channels < 8;
    const struct {
        dnnl_format_tag_t x, y;
        const char *name;
    } layouts[] = {
        { few ? dnnl_nchw : blocked, blocked,
          few    ? "nchw to blocked"
          : wide ? "nChw16c"
                 : "nChw8c" },
        { dnnl_nhwc, dnnl_nhwc, "nhwc" },
        { dnnl_nchw, dnnl_nchw, "nchw" },
        { blocked, blocked, "blocked" },
    };
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        if (!make_descs(m, c, layouts[i].x, layouts[i].y))
            continue;
        *layout = layouts[i].name;
        dnnl_primitive_desc_t pd = NULL;
        if (i == 0 && winograd_pays(c))
            pd = conv_primitive(c, m, dnnl_convolution_winograd);
        if (!pd)
            pd = conv_primitive(c, m, dnnl_convolution_direct);
        if (pd)
            return pd;
    }
    return NULL;
}

/* The memory that the primitive reads: the user's own, or a reordered copy of it. */
static dnnl_memory_t read_memory(cbm_dnn *d, const dnnl_memory_desc_t *plain, const dnnl_memory_desc_t *wanted,
                                 int pointer)
{
    dnnl_memory_t user = add_memory(d, plain, pointer);
    if (!user || dnnl_memory_desc_equal(plain, wanted))
        return user;
    dnnl_memory_t inner = add_memory(d, wanted, WORKSPACE);
    return inner && add_reorder(d, user, inner) ? inner : NULL; /* layout border */
}

static dnnl_memory_t write_memory(cbm_dnn *d, const dnnl_memory_desc_t *plain, const dnnl_memory_desc_t *wanted,
                                  int pointer, dnnl_memory_t *user)
{
    *user = add_memory(d, plain, pointer);
    if (!*user || dnnl_memory_desc_equal(plain, wanted))
        return *user;
    return add_memory(d, wanted, WORKSPACE);
}

static bool add_conv(cbm_dnn *d, const cbm_dnn_conv *c, dnnl_primitive_desc_t pd, const conv_descs *m)
{
    static const struct {
        dnnl_query_t weight;
        int arguments[3]; /* x, weight, y */
        int result;       /* which of them is written */
    } roles[] = {
        [CBM_DNN_FORWARD] = { dnnl_query_weights_md, { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST }, 2 },
        [CBM_DNN_INPUT_GRAD] = { dnnl_query_weights_md, { DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST }, 0 },
        [CBM_DNN_WEIGHT_GRAD] = { dnnl_query_diff_weights_md,
                                  { DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST },
                                  1 },
    };
    const int result = roles[c->direction].result;
    const dnnl_memory_desc_t *wanted[3] = { &m->x, dnnl_primitive_desc_query_md(pd, roles[c->direction].weight, 0),
                                            &m->y };
    const dnnl_memory_desc_t *plain[3] = { &m->plain_x, &m->plain_weight, &m->plain_y };
    dnnl_memory_t memory[3], user = NULL;
    for (int i = 0; i < 3; i++) {
        memory[i] =
            i == result ? write_memory(d, plain[i], wanted[i], i, &user) : read_memory(d, plain[i], wanted[i], i);
        if (!memory[i])
            return false;
    }
    stage *s = add_stage(d, pd);
    if (!s)
        return false;
    for (int i = 0; i < 3; i++)
        add_argument(s, roles[c->direction].arguments[i], memory[i]);
    if (c->bias && c->direction == CBM_DNN_FORWARD) {
        dnnl_memory_t bias = add_memory(d, &m->bias, 3);
        if (!bias)
            return false;
        add_argument(s, DNNL_ARG_BIAS, bias);
    }
    if (!add_scratchpad(d, s, pd))
        return false;
    return memory[result] == user || add_reorder(d, memory[result], user); /* layout border */
}

cbm_dnn *cbm_dnn_convolution(const cbm_dnn_conv *c, int64_t threads)
{
    cbm_dnn *d = open_sequence(threads);
    if (!d)
        return NULL;
    const int before = use_threads(d->threads);
    conv_descs m;
    const char *layout = "";
    dnnl_primitive_desc_t pd = choose(c, &m, &layout);
    bool ok = pd != NULL;
    if (ok) {
        snprintf(d->description, sizeof d->description, "%s %s", implementation(pd), layout);
        ok = add_conv(d, c, pd, &m);
        dnnl_primitive_desc_destroy(pd);
    }
    use_threads(before);
    if (ok)
        return d;
    cbm_dnn_free(d);
    return NULL;
}

#endif
