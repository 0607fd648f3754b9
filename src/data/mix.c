/* mix.c: batches of which each sample is mixed with its neighbour: mixup and CutMix. The mixing is recorded like any
   operation; how much is data, so that all steps share a plan. Rests on operations and on base's random numbers. */
#include "tensor/context.h"
#include <cambium/ops.h>
#include <cambium/transforms.h>
#include <math.h>

/* Keeps these numbers apart from others of the same seed. */
#define STREAM 0x4d495855504d4958u
#define ALPHA_MAX 1000

/* The numbers of one batch, in order. */
typedef struct numbers {
    uint64_t seed, position, next;
} numbers;

static numbers numbers_of(const cbm_batch *b, uint64_t seed)
{
    return (numbers){ seed ^ STREAM, (uint64_t)b->epoch << 32 | (uint64_t)b->index, 0 };
}

static double uniform(numbers *n)
{
    return ((double)cbm_philox_below(n->seed, n->position, n->next++, UINT64_C(1) << 53) + 0.5) * 0x1p-53;
}

static double normal(numbers *n)
{
    double radius = sqrt(-2 * log(uniform(n)));
    return radius * cos(2 * 3.14159265358979323846 * uniform(n));
}

/* The logarithm of a Gamma(shape, 1) number: Marsaglia and Tsang, A simple method for generating gamma variables (2000); a
   small shape by way of shape + 1, of which the logarithm does not underflow. */
static double log_gamma_number(numbers *n, double shape)
{
    double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = normal(n), v = 1 + c * x;
        v = v * v * v;
        if (v > 0 && log(uniform(n)) < 0.5 * x * x + d - d * v + d * log(v))
            return log(d * v) + (shape < 1 ? log(uniform(n)) / shape : 0);
    }
}

/* A Beta(alpha, alpha) number. */
static double beta_number(numbers *n, double alpha)
{
    double a = log_gamma_number(n, alpha), b = log_gamma_number(n, alpha);
    return 1 / (1 + exp(b - a));
}

static bool fits(const cbm_batch *b, const char *who, int64_t classes, double alpha, int least_rank)
{
    cbm_context *cx = cbm_tensor_context(b->input);
    cbm_shape input = cbm_tensor_shape(b->input);
    cbm_dtype dtype = cbm_tensor_dtype(b->input);
    if (cbm_context_status(cx) != CBM_OK)
        return false;
    if (!(alpha > 0 && alpha <= ALPHA_MAX))
        return cbm_fail(cx, CBM_ERROR_INVALID, "[%s] alpha is %g; more than 0 and at most %d is possible", who, alpha,
                        ALPHA_MAX),
               false;
    if (!b->target || cbm_tensor_shape(b->target).v[0] != 1 || cbm_tensor_dtype(b->target) != CBM_I64 || classes < 1)
        return cbm_fail(cx, CBM_ERROR_SHAPE,
                        "[%s] needs class numbers (N) as targets, i64, and how many classes there are", who),
               false;
    if (dtype != CBM_F32 && dtype != CBM_F64 && dtype != CBM_BF16)
        return cbm_fail(cx, CBM_ERROR_DTYPE, "[%s] inputs are %s; floats can be mixed. HINT: cbm_normalize gives them",
                        who, cbm_dtype_name(dtype)),
               false;
    if (input.v[0] < least_rank)
        return cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] inputs have %lld axes; needs (N, ..., height, width)", who,
                        (long long)input.v[0]),
               false;
    return true;
}

/* own * share + (the sample before it) * (1 - share); share broadcasts. */
static cbm_tensor *mixed(cbm_tensor *own, cbm_tensor *share)
{
    return cbm_lerp(cbm_roll(own, CBM_SHAPE(1), CBM_SHAPE(0)), own, share);
}

static cbm_mixed mix(const cbm_batch *b, int64_t classes, cbm_tensor *share_of_pixels, double share)
{
    cbm_context *cx = cbm_tensor_context(b->input);
    cbm_dtype dtype = cbm_tensor_dtype(b->input);
    cbm_tensor *of_classes = cbm_cast(cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(1, 1), &(float){ (float)share }), dtype);
    cbm_mixed both = { mixed(b->input, share_of_pixels), mixed(cbm_one_hot(b->target, classes, dtype), of_classes),
                       share };
    return cbm_context_status(cx) == CBM_OK ? both : (cbm_mixed){ b->input, b->target, 1 };
}

cbm_mixed cbm_mixup(const cbm_batch *batch, int64_t classes, double alpha, uint64_t seed)
{
    if (!fits(batch, "mixup", classes, alpha, 1))
        return (cbm_mixed){ batch->input, batch->target, 1 };
    numbers n = numbers_of(batch, seed);
    double share = beta_number(&n, alpha);
    cbm_context *cx = cbm_tensor_context(batch->input);
    cbm_tensor *t = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(1), &(float){ (float)share });
    return mix(batch, classes, cbm_cast(t, cbm_tensor_dtype(batch->input)), share);
}

/* x, cut at 0 and n and towards 0 */
static int64_t within(double x, int64_t n)
{
    return x < 0 ? 0 : x > (double)n ? n : (int64_t)x;
}

cbm_mixed cbm_cutmix(const cbm_batch *batch, int64_t classes, double alpha, uint64_t seed)
{
    if (!fits(batch, "cutmix", classes, alpha, 3))
        return (cbm_mixed){ batch->input, batch->target, 1 };
    cbm_context *cx = cbm_tensor_context(batch->input);
    cbm_shape s = cbm_tensor_shape(batch->input);
    int64_t height = s.v[s.v[0] - 1], width = s.v[s.v[0]];
    numbers n = numbers_of(batch, seed);
    double side = sqrt(1 - beta_number(&n, alpha)), y = uniform(&n) * (double)height, x = uniform(&n) * (double)width;
    int64_t top = within(y - 0.5 * side * (double)height, height), left = within(x - 0.5 * side * (double)width, width);
    int64_t bottom = within(y + 0.5 * side * (double)height, height),
            right = within(x + 0.5 * side * (double)width, width);
    size_t bytes = (size_t)(height * width) * sizeof(float);
    float *own = cbm_heap_take(cbm_context_heap(cx), bytes);
    if (!own) {
        cbm_fail_memory(cx, "a mask");
        return (cbm_mixed){ batch->input, batch->target, 1 };
    }
    for (int64_t i = 0; i < height * width; ++i) {
        int64_t row = i / width, column = i % width;
        own[i] = row >= top && row < bottom && column >= left && column < right ? 0 : 1;
    }
    cbm_tensor *mask = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(height, width), own);
    cbm_heap_give(cbm_context_heap(cx), own, bytes);
    double area = (double)(height * width), hole = (double)((bottom - top) * (right - left));
    return mix(batch, classes, cbm_cast(mask, cbm_tensor_dtype(batch->input)), area > 0 ? 1 - hole / area : 1);
}
