/* optim.h: optimizers (SGD, Adam, AdamW, as in PyTorch), learning rate schedules, gradient clipping. */
#ifndef CAMBIUM_OPTIM_H
#define CAMBIUM_OPTIM_H

#include <cambium/autograd.h>
#include <cambium/nn.h>

CBM_BEGIN_DECLS

typedef struct cbm_schedule cbm_schedule;

/* Stochastic gradient descent. With g the gradient plus weight_decay p, v the velocity:
   v = momentum v + (1 - dampening) g (first step: v = g); g = v, or g + momentum v if nesterov; p = p - lr g.
   nesterov needs momentum > 0 and dampening 0. */
typedef struct cbm_sgd_options {
    uint64_t struct_size;
    double lr CBM_DEFAULT(1e-3);
    double momentum CBM_DEFAULT(0);
    double dampening CBM_DEFAULT(0);
    double weight_decay CBM_DEFAULT(0);
    uint64_t nesterov CBM_DEFAULT(0);
} cbm_sgd_options;
CBM_API void cbm_sgd_options_init(cbm_sgd_options *options);
CBM_API cbm_optimizer *cbm_sgd_with(cbm_module *net, const cbm_sgd_options *options);

/* Adam (Kingma and Ba 2015), with g the gradient plus weight_decay p:
   m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
   p = p - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps).
   AdamW (Loshchilov and Hutter 2019): the decay is p = p - lr weight_decay p instead, before the step; its default
   weight_decay is 0.01. */
typedef struct cbm_adam_options {
    uint64_t struct_size;
    double lr CBM_DEFAULT(1e-3);
    double beta1 CBM_DEFAULT(0.9);
    double beta2 CBM_DEFAULT(0.999);
    double eps CBM_DEFAULT(1e-8);
    double weight_decay CBM_DEFAULT(0);
} cbm_adam_options;
typedef struct cbm_adamw_options {
    uint64_t struct_size;
    double lr CBM_DEFAULT(1e-3);
    double beta1 CBM_DEFAULT(0.9);
    double beta2 CBM_DEFAULT(0.999);
    double eps CBM_DEFAULT(1e-8);
    double weight_decay CBM_DEFAULT(0.01);
} cbm_adamw_options;
CBM_API void cbm_adam_options_init(cbm_adam_options *options);
CBM_API void cbm_adamw_options_init(cbm_adamw_options *options);
CBM_API cbm_optimizer *cbm_adam_with(cbm_module *net, const cbm_adam_options *options);
CBM_API cbm_optimizer *cbm_adamw_with(cbm_module *net, const cbm_adamw_options *options);

/* Frees an optimizer before its context closes; schedules on it must be released first. NULL is allowed. */
CBM_API void cbm_optimizer_release(cbm_optimizer *opt);

/* Updates all parameters that have a gradient, uses these gradients up, and computes all of it in one plan. All or
   nothing: after an error parameters, state and step count are as they were. */
CBM_API cbm_status cbm_step(cbm_optimizer *opt);
/* Forgets the gradients of the optimizer's parameters. */
CBM_API void cbm_zero_grad(cbm_optimizer *opt);

CBM_API double cbm_learning_rate(const cbm_optimizer *opt);
CBM_API void cbm_set_learning_rate(cbm_optimizer *opt, double lr); /* not negative, finite */
CBM_API int64_t cbm_step_count(const cbm_optimizer *opt);
CBM_API void cbm_set_step_count(cbm_optimizer *opt, int64_t steps);   /* for checkpoints */
CBM_API const char *cbm_optimizer_name(const cbm_optimizer *opt);     /* "sgd", "adam", "adamw" */
CBM_API cbm_context *cbm_optimizer_context(const cbm_optimizer *opt); /* NULL for a failed one without context */

/* The parameters it updates, with the network's names. */
CBM_API size_t cbm_optimizer_parameter_count(const cbm_optimizer *opt);
CBM_API bool cbm_optimizer_parameter_at(const cbm_optimizer *opt, size_t index, cbm_named *out);
/* Its state: "conv1.weight.momentum_buffer", "conv1.weight.exp_avg", "conv1.weight.exp_avg_sq"; there from the start. */
CBM_API size_t cbm_optimizer_state_count(const cbm_optimizer *opt);
CBM_API bool cbm_optimizer_state_at(const cbm_optimizer *opt, size_t index, cbm_named *out);

/* Scales all gradients by min(1, max_norm / (norm + 1e-6)), norm being the Euclidean norm of all of them together, which
   is returned (as it was before). Records only. */
CBM_API cbm_tensor *cbm_clip_grad_norm(cbm_optimizer *opt, double max_norm);

/* Schedules change the learning rate of opt at each cbm_schedule_next; the rate at opening is the base rate.
   step: base gamma^floor(t / step_size).
   cosine (Loshchilov and Hutter 2017): minimum + (base - minimum) (1 + cos(pi t / steps)) / 2 for t up to steps, minimum
   afterwards; with warmup > 0 the first warmup steps rise linearly: base (t + 1) / (warmup + 1), and the cosine takes the
   steps that are left. t counts the calls of cbm_schedule_next. */
typedef struct cbm_schedule_step_options {
    uint64_t struct_size;
    int64_t step_size CBM_DEFAULT(1);
    double gamma CBM_DEFAULT(0.1);
} cbm_schedule_step_options;
typedef struct cbm_schedule_cosine_options {
    uint64_t struct_size;
    int64_t steps CBM_DEFAULT(1);
    int64_t warmup CBM_DEFAULT(0);
    double minimum CBM_DEFAULT(0);
} cbm_schedule_cosine_options;
CBM_API cbm_schedule *cbm_schedule_step_with(cbm_optimizer *opt, const cbm_schedule_step_options *options);
CBM_API cbm_schedule *cbm_schedule_cosine_with(cbm_optimizer *opt, const cbm_schedule_cosine_options *options);
CBM_API void cbm_schedule_next(cbm_schedule *schedule);
/* For checkpoints: t, and setting it (which sets the optimizer's rate too). */
CBM_API int64_t cbm_schedule_position(const cbm_schedule *schedule);
CBM_API void cbm_schedule_set_position(cbm_schedule *schedule, int64_t position);
CBM_API void cbm_schedule_release(cbm_schedule *schedule);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_SGD_DEFAULTS .lr = 1e-3, .nesterov = 0
#define CBM_ADAM_DEFAULTS .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0
#define CBM_ADAMW_DEFAULTS .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01
#define CBM_SCHEDULE_STEP_DEFAULTS .step_size = 1, .gamma = 0.1
#define CBM_SCHEDULE_COSINE_DEFAULTS .steps = 1, .minimum = 0
/* cbm_sgd(net, .lr = 0.05, .momentum = 0.9) */
#define cbm_sgd(...) CBM_SGD_(__VA_ARGS__, .struct_size = sizeof(cbm_sgd_options))
#define CBM_SGD_(net, ...) CBM_OPTIONS_(cbm_sgd_options, cbm_sgd_with(net, &cbm_o_), CBM_SGD_DEFAULTS, __VA_ARGS__)
#define cbm_adam(...) CBM_ADAM_(__VA_ARGS__, .struct_size = sizeof(cbm_adam_options))
#define CBM_ADAM_(net, ...) CBM_OPTIONS_(cbm_adam_options, cbm_adam_with(net, &cbm_o_), CBM_ADAM_DEFAULTS, __VA_ARGS__)
#define cbm_adamw(...) CBM_ADAMW_(__VA_ARGS__, .struct_size = sizeof(cbm_adamw_options))
#define CBM_ADAMW_(net, ...)                                                                                           \
    CBM_OPTIONS_(cbm_adamw_options, cbm_adamw_with(net, &cbm_o_), CBM_ADAMW_DEFAULTS, __VA_ARGS__)
#define cbm_schedule_step(...) CBM_SCHEDULE_STEP_(__VA_ARGS__, .struct_size = sizeof(cbm_schedule_step_options))
#define CBM_SCHEDULE_STEP_(opt, ...)                                                                                   \
    CBM_OPTIONS_(cbm_schedule_step_options, cbm_schedule_step_with(opt, &cbm_o_), CBM_SCHEDULE_STEP_DEFAULTS,          \
                 __VA_ARGS__)
#define cbm_schedule_cosine(...) CBM_SCHEDULE_COSINE_(__VA_ARGS__, .struct_size = sizeof(cbm_schedule_cosine_options))
#define CBM_SCHEDULE_COSINE_(opt, ...)                                                                                 \
    CBM_OPTIONS_(cbm_schedule_cosine_options, cbm_schedule_cosine_with(opt, &cbm_o_), CBM_SCHEDULE_COSINE_DEFAULTS,    \
                 __VA_ARGS__)
#else
static inline cbm_optimizer *cbm_sgd(cbm_module *net, const cbm_sgd_options &options = {})
{
    cbm_sgd_options o = options;
    o.struct_size = sizeof o;
    return cbm_sgd_with(net, &o);
}
static inline cbm_optimizer *cbm_adam(cbm_module *net, const cbm_adam_options &options = {})
{
    cbm_adam_options o = options;
    o.struct_size = sizeof o;
    return cbm_adam_with(net, &o);
}
static inline cbm_optimizer *cbm_adamw(cbm_module *net, const cbm_adamw_options &options = {})
{
    cbm_adamw_options o = options;
    o.struct_size = sizeof o;
    return cbm_adamw_with(net, &o);
}
static inline cbm_schedule *cbm_schedule_step(cbm_optimizer *opt, const cbm_schedule_step_options &options = {})
{
    cbm_schedule_step_options o = options;
    o.struct_size = sizeof o;
    return cbm_schedule_step_with(opt, &o);
}
static inline cbm_schedule *cbm_schedule_cosine(cbm_optimizer *opt, const cbm_schedule_cosine_options &options = {})
{
    cbm_schedule_cosine_options o = options;
    o.struct_size = sizeof o;
    return cbm_schedule_cosine_with(opt, &o);
}
#endif

#endif
