/* schedule.h: learning rates, and some momenta, that follow the number of steps taken or a measure, as PyTorch's do. */
#ifndef CAMBIUM_SCHEDULE_H
#define CAMBIUM_SCHEDULE_H

#include <cambium/optim.h>

CBM_BEGIN_DECLS

/* A schedule sets the learning rates of all groups of opt: when it is opened, and at each cbm_schedule_next. t counts these
   calls; base is a group's rate as its options or cbm_set_learning_rate named it last, so groups keep their proportions.
   A schedule belongs to the context. On error it is a failed one, on which every call is harmless. */
typedef struct cbm_schedule cbm_schedule;

/* base gamma^floor(t / step_size). */
typedef struct cbm_schedule_step_options {
    uint64_t struct_size;
    int64_t step_size CBM_DEFAULT(1);
    double gamma CBM_DEFAULT(0.1);
} cbm_schedule_step_options;

/* base gamma^(number of milestones up to t); the list is copied. */
typedef struct cbm_schedule_multi_step_options {
    uint64_t struct_size;
    const int64_t *milestones CBM_DEFAULT(NULL);
    uint64_t milestone_count CBM_DEFAULT(0);
    double gamma CBM_DEFAULT(0.1);
} cbm_schedule_multi_step_options;

/* base gamma^t. */
typedef struct cbm_schedule_exponential_options {
    uint64_t struct_size;
    double gamma CBM_DEFAULT(0.9);
} cbm_schedule_exponential_options;

/* base factor while t < total_iters, then base. */
typedef struct cbm_schedule_constant_options {
    uint64_t struct_size;
    double factor CBM_DEFAULT(1.0 / 3);
    int64_t total_iters CBM_DEFAULT(5);
} cbm_schedule_constant_options;

/* base times a factor that goes from start_factor to end_factor in total_iters steps, and stays there. */
typedef struct cbm_schedule_linear_options {
    uint64_t struct_size;
    double start_factor CBM_DEFAULT(1.0 / 3);
    double end_factor CBM_DEFAULT(1);
    int64_t total_iters CBM_DEFAULT(5);
} cbm_schedule_linear_options;

/* base (1 - min(t, total_iters) / total_iters)^power. */
typedef struct cbm_schedule_polynomial_options {
    uint64_t struct_size;
    int64_t total_iters CBM_DEFAULT(5);
    double power CBM_DEFAULT(1);
} cbm_schedule_polynomial_options;

/* Cosine (Loshchilov and Hutter 2017): minimum + (base - minimum) (1 + cos(pi t / steps)) / 2 for t up to steps, minimum
   afterwards; with warmup > 0 the first warmup steps rise linearly: base (t + 1) / (warmup + 1), and the cosine takes the
   steps that are left. PyTorch calls steps T_max and minimum eta_min. */
typedef struct cbm_schedule_cosine_options {
    uint64_t struct_size;
    int64_t steps CBM_DEFAULT(1);
    int64_t warmup CBM_DEFAULT(0);
    double minimum CBM_DEFAULT(0);
} cbm_schedule_cosine_options;

/* Cosines one after the other, each starting at base again: the first takes t_0 steps, each next one t_mult times as many. */
typedef struct cbm_schedule_cosine_restarts_options {
    uint64_t struct_size;
    int64_t t_0 CBM_DEFAULT(1);
    int64_t t_mult CBM_DEFAULT(1);
    double eta_min CBM_DEFAULT(0);
} cbm_schedule_cosine_restarts_options;

/* Cycles (Smith 2017): linearly from base_lr up to max_lr in step_size_up steps and down again in step_size_down (0: as
   many). TRIANGULAR2 halves the height after each cycle, EXP_RANGE multiplies it with gamma^t. With cycle_momentum the
   momentum (of Adam's kin: beta1) goes the other way, from max_momentum down to base_momentum and up. */
enum { CBM_CYCLIC_TRIANGULAR = 0, CBM_CYCLIC_TRIANGULAR2 = 1, CBM_CYCLIC_EXP_RANGE = 2 };
typedef struct cbm_schedule_cyclic_options {
    uint64_t struct_size;
    double base_lr CBM_DEFAULT(1e-3);
    double max_lr CBM_DEFAULT(1e-2);
    int64_t step_size_up CBM_DEFAULT(2000);
    int64_t step_size_down CBM_DEFAULT(0);
    int64_t mode CBM_DEFAULT(CBM_CYCLIC_TRIANGULAR);
    double gamma CBM_DEFAULT(1);
    uint64_t cycle_momentum CBM_DEFAULT(1);
    double base_momentum CBM_DEFAULT(0.8);
    double max_momentum CBM_DEFAULT(0.9);
} cbm_schedule_cyclic_options;

/* One cycle (Smith and Topin 2019) of total_steps: from max_lr / div_factor to max_lr in the first pct_start of them, and
   down to max_lr / div_factor / final_div_factor in the rest; three_phase: down to where it began in as many steps, and
   only then to the end. Along cosines, or straight if linear. Momentum the other way, as above. t past the end: the last
   values. */
typedef struct cbm_schedule_one_cycle_options {
    uint64_t struct_size;
    double max_lr CBM_DEFAULT(1e-2);
    int64_t total_steps CBM_DEFAULT(1);
    double pct_start CBM_DEFAULT(0.3);
    uint64_t linear CBM_DEFAULT(0);
    uint64_t cycle_momentum CBM_DEFAULT(1);
    double base_momentum CBM_DEFAULT(0.85);
    double max_momentum CBM_DEFAULT(0.95);
    double div_factor CBM_DEFAULT(25);
    double final_div_factor CBM_DEFAULT(1e4);
    uint64_t three_phase CBM_DEFAULT(0);
} cbm_schedule_one_cycle_options;

/* base function(t, group, user): any rule of your own. It must give the same factor for the same t; destroy(user), if
   given, is called when the schedule ends (not if it could not be opened). */
typedef double (*cbm_schedule_fn)(int64_t t, int64_t group, void *user);
typedef struct cbm_schedule_lambda_options {
    uint64_t struct_size;
    cbm_schedule_fn function CBM_DEFAULT(NULL);
    void *user CBM_DEFAULT(NULL);
    void (*destroy)(void *user) CBM_DEFAULT(NULL);
} cbm_schedule_lambda_options;

/* Follows a measure, not t: cbm_schedule_observe tells it. When the measure has not become better for more than patience
   observations, all rates are multiplied with factor, down to min_lr; cooldown observations are then passed over, and a
   change below eps is not made. Better: below best (1 - threshold), or best - threshold if absolute; with maximize above
   best (1 + threshold) or best + threshold. */
typedef struct cbm_schedule_plateau_options {
    uint64_t struct_size;
    uint64_t maximize CBM_DEFAULT(0);
    double factor CBM_DEFAULT(0.1);
    int64_t patience CBM_DEFAULT(10);
    double threshold CBM_DEFAULT(1e-4);
    uint64_t absolute CBM_DEFAULT(0);
    int64_t cooldown CBM_DEFAULT(0);
    double min_lr CBM_DEFAULT(0);
    double eps CBM_DEFAULT(1e-8);
} cbm_schedule_plateau_options;

/* Warm-up: base (t + 1) / (steps + 1) for the first steps, then base, or the schedule then from its beginning, which is
   taken over as below. */
typedef struct cbm_schedule_warmup_options {
    uint64_t struct_size;
    int64_t steps CBM_DEFAULT(1);
    cbm_schedule *then CBM_DEFAULT(NULL);
} cbm_schedule_warmup_options;

CBM_API cbm_schedule *cbm_schedule_step_with(cbm_optimizer *opt, const cbm_schedule_step_options *options);
CBM_API cbm_schedule *cbm_schedule_multi_step_with(cbm_optimizer *opt, const cbm_schedule_multi_step_options *options);
CBM_API cbm_schedule *cbm_schedule_exponential_with(cbm_optimizer *opt,
                                                    const cbm_schedule_exponential_options *options);
CBM_API cbm_schedule *cbm_schedule_constant_with(cbm_optimizer *opt, const cbm_schedule_constant_options *options);
CBM_API cbm_schedule *cbm_schedule_linear_with(cbm_optimizer *opt, const cbm_schedule_linear_options *options);
CBM_API cbm_schedule *cbm_schedule_polynomial_with(cbm_optimizer *opt, const cbm_schedule_polynomial_options *options);
CBM_API cbm_schedule *cbm_schedule_cosine_with(cbm_optimizer *opt, const cbm_schedule_cosine_options *options);
CBM_API cbm_schedule *cbm_schedule_cosine_restarts_with(cbm_optimizer *opt,
                                                        const cbm_schedule_cosine_restarts_options *options);
CBM_API cbm_schedule *cbm_schedule_cyclic_with(cbm_optimizer *opt, const cbm_schedule_cyclic_options *options);
CBM_API cbm_schedule *cbm_schedule_one_cycle_with(cbm_optimizer *opt, const cbm_schedule_one_cycle_options *options);
CBM_API cbm_schedule *cbm_schedule_lambda_with(cbm_optimizer *opt, const cbm_schedule_lambda_options *options);
CBM_API cbm_schedule *cbm_schedule_plateau_with(cbm_optimizer *opt, const cbm_schedule_plateau_options *options);
CBM_API cbm_schedule *cbm_schedule_warmup_with(cbm_optimizer *opt, const cbm_schedule_warmup_options *options);

/* Schedules put together take their parts over: these (of one optimizer, none that follows a measure) are then neither to
   be moved nor released by themselves.
   chained: all at once, the rate of one being the base of the next; factors multiply.
   sequential: one after the other; schedule i + 1 takes over, from its beginning, at t = milestones[i]: count - 1 of
   them, rising. */
CBM_API cbm_schedule *cbm_schedule_chained(cbm_schedule *const *schedules, size_t count);
CBM_API cbm_schedule *cbm_schedule_sequential(cbm_schedule *const *schedules, size_t count, const int64_t *milestones);

/* One step further. Nothing happens to a schedule that follows a measure. */
CBM_API void cbm_schedule_next(cbm_schedule *schedule);
/* Tells a schedule that follows one the newest measure, after an epoch for example; the others pass it over. */
CBM_API void cbm_schedule_observe(cbm_schedule *schedule, double measure);
/* For checkpoints: t, and setting it (which sets the rates and momenta too). Of a schedule that follows a measure: how many
   observations there were; what it remembers of them is in the checkpoint besides. */
CBM_API int64_t cbm_schedule_position(const cbm_schedule *schedule);
CBM_API void cbm_schedule_set_position(cbm_schedule *schedule, int64_t position);
/* Frees a schedule before its context closes; the rates stay as they are. NULL is allowed. */
CBM_API void cbm_schedule_release(cbm_schedule *schedule);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_SCHEDULE_STEP_DEFAULTS .step_size = 1, .gamma = 0.1
#define CBM_SCHEDULE_MULTI_STEP_DEFAULTS .gamma = 0.1
#define CBM_SCHEDULE_EXPONENTIAL_DEFAULTS .gamma = 0.9
#define CBM_SCHEDULE_CONSTANT_DEFAULTS .factor = 1.0 / 3, .total_iters = 5
#define CBM_SCHEDULE_LINEAR_DEFAULTS .start_factor = 1.0 / 3, .end_factor = 1, .total_iters = 5
#define CBM_SCHEDULE_POLYNOMIAL_DEFAULTS .total_iters = 5, .power = 1
#define CBM_SCHEDULE_COSINE_DEFAULTS .steps = 1, .minimum = 0
#define CBM_SCHEDULE_COSINE_RESTARTS_DEFAULTS .t_0 = 1, .t_mult = 1, .eta_min = 0
#define CBM_SCHEDULE_CYCLIC_DEFAULTS                                                                                   \
    .base_lr = 1e-3, .max_lr = 1e-2, .step_size_up = 2000, .gamma = 1, .cycle_momentum = 1, .base_momentum = 0.8,      \
    .max_momentum = 0.9
#define CBM_SCHEDULE_ONE_CYCLE_DEFAULTS                                                                                \
    .max_lr = 1e-2, .total_steps = 1, .pct_start = 0.3, .cycle_momentum = 1, .base_momentum = 0.85,                    \
    .max_momentum = 0.95, .div_factor = 25, .final_div_factor = 1e4, .three_phase = 0
#define CBM_SCHEDULE_LAMBDA_DEFAULTS .destroy = NULL
#define CBM_SCHEDULE_PLATEAU_DEFAULTS .factor = 0.1, .patience = 10, .threshold = 1e-4, .eps = 1e-8
#define CBM_SCHEDULE_WARMUP_DEFAULTS .steps = 1, .then = NULL

/* cbm_schedule_step(opt, .step_size = 30), cbm_schedule_one_cycle(opt, .max_lr = 0.1, .total_steps = 500) */
#define CBM_SCHEDULE_(NAME, CAPITALS, opt, ...)                                                                        \
    CBM_OPTIONS_(cbm_schedule_##NAME##_options, cbm_schedule_##NAME##_with(opt, &cbm_o_),                              \
                 CBM_SCHEDULE_##CAPITALS##_DEFAULTS, __VA_ARGS__)
#define CBM_SCHEDULE_SIZE_(NAME) .struct_size = sizeof(cbm_schedule_##NAME##_options)
#define cbm_schedule_step(...) CBM_SCHEDULE_(step, STEP, __VA_ARGS__, CBM_SCHEDULE_SIZE_(step))
#define cbm_schedule_multi_step(...) CBM_SCHEDULE_(multi_step, MULTI_STEP, __VA_ARGS__, CBM_SCHEDULE_SIZE_(multi_step))
#define cbm_schedule_exponential(...)                                                                                  \
    CBM_SCHEDULE_(exponential, EXPONENTIAL, __VA_ARGS__, CBM_SCHEDULE_SIZE_(exponential))
#define cbm_schedule_constant(...) CBM_SCHEDULE_(constant, CONSTANT, __VA_ARGS__, CBM_SCHEDULE_SIZE_(constant))
#define cbm_schedule_linear(...) CBM_SCHEDULE_(linear, LINEAR, __VA_ARGS__, CBM_SCHEDULE_SIZE_(linear))
#define cbm_schedule_polynomial(...) CBM_SCHEDULE_(polynomial, POLYNOMIAL, __VA_ARGS__, CBM_SCHEDULE_SIZE_(polynomial))
#define cbm_schedule_cosine(...) CBM_SCHEDULE_(cosine, COSINE, __VA_ARGS__, CBM_SCHEDULE_SIZE_(cosine))
#define cbm_schedule_cosine_restarts(...)                                                                              \
    CBM_SCHEDULE_(cosine_restarts, COSINE_RESTARTS, __VA_ARGS__, CBM_SCHEDULE_SIZE_(cosine_restarts))
#define cbm_schedule_cyclic(...) CBM_SCHEDULE_(cyclic, CYCLIC, __VA_ARGS__, CBM_SCHEDULE_SIZE_(cyclic))
#define cbm_schedule_one_cycle(...) CBM_SCHEDULE_(one_cycle, ONE_CYCLE, __VA_ARGS__, CBM_SCHEDULE_SIZE_(one_cycle))
#define cbm_schedule_lambda(...) CBM_SCHEDULE_(lambda, LAMBDA, __VA_ARGS__, CBM_SCHEDULE_SIZE_(lambda))
#define cbm_schedule_plateau(...) CBM_SCHEDULE_(plateau, PLATEAU, __VA_ARGS__, CBM_SCHEDULE_SIZE_(plateau))
#define cbm_schedule_warmup(...) CBM_SCHEDULE_(warmup, WARMUP, __VA_ARGS__, CBM_SCHEDULE_SIZE_(warmup))
#else
#define CBM_SCHEDULE_(NAME)                                                                                            \
    static inline cbm_schedule *cbm_schedule_##NAME(cbm_optimizer *opt,                                                \
                                                    const cbm_schedule_##NAME##_options &options = {})                 \
    {                                                                                                                  \
        cbm_schedule_##NAME##_options o = options;                                                                     \
        o.struct_size = sizeof o;                                                                                      \
        return cbm_schedule_##NAME##_with(opt, &o);                                                                    \
    }
CBM_SCHEDULE_(step)
CBM_SCHEDULE_(multi_step)
CBM_SCHEDULE_(exponential)
CBM_SCHEDULE_(constant)
CBM_SCHEDULE_(linear)
CBM_SCHEDULE_(polynomial)
CBM_SCHEDULE_(cosine)
CBM_SCHEDULE_(cosine_restarts)
CBM_SCHEDULE_(cyclic)
CBM_SCHEDULE_(one_cycle)
CBM_SCHEDULE_(lambda)
CBM_SCHEDULE_(plateau)
CBM_SCHEDULE_(warmup)
#endif

#endif
