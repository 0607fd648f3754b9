/* optim.h: optimizers as in PyTorch, their parameter groups, weight decay, and gradient clipping. schedule.h changes their
   learning rates, average.h averages what they find. */
#ifndef CAMBIUM_OPTIM_H
#define CAMBIUM_OPTIM_H

#include <cambium/autograd.h>
#include <cambium/nn.h>

CBM_BEGIN_DECLS

/* What all optimizers but L-BFGS take. With g the gradient of a parameter p, before the rule of the optimizer:
   maximize: g = -g, and the loss rises.
   weight_decay: g = g + weight_decay p (L2); with decoupled_weight_decay (Loshchilov and Hutter 2019):
   p = p - lr weight_decay p instead, past the optimizer's statistics.
   l1_decay: g = g + l1_decay sign(p) (L1), with p from before the step. */
#define CBM_OPTIMIZER_FIELDS_(LR, WEIGHT_DECAY, DECOUPLED)                                                             \
    uint64_t struct_size;                                                                                              \
    double lr CBM_DEFAULT(LR);                                                                                         \
    double weight_decay CBM_DEFAULT(WEIGHT_DECAY);                                                                     \
    double l1_decay CBM_DEFAULT(0);                                                                                    \
    uint64_t decoupled_weight_decay CBM_DEFAULT(DECOUPLED);                                                            \
    uint64_t maximize CBM_DEFAULT(0)

/* Stochastic gradient descent. With v the velocity:
   v = momentum v + (1 - dampening) g (first step: v = g); g = v, or g + momentum v if nesterov; p = p - lr g.
   nesterov needs momentum > 0 and dampening 0. */
typedef struct cbm_sgd_options {
    CBM_OPTIMIZER_FIELDS_(1e-3, 0, 0);
    double momentum CBM_DEFAULT(0);
    double dampening CBM_DEFAULT(0);
    uint64_t nesterov CBM_DEFAULT(0);
} cbm_sgd_options;

/* Adam (Kingma and Ba 2015): m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
   p = p - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps).
   amsgrad (Reddi, Kale and Kumar 2018): the largest v so far in the place of v.
   AdamW is Adam with decoupled weight decay, 0.01 by default. */
typedef struct cbm_adam_options {
    CBM_OPTIMIZER_FIELDS_(1e-3, 0, 0);
    double beta1 CBM_DEFAULT(0.9);
    double beta2 CBM_DEFAULT(0.999);
    double eps CBM_DEFAULT(1e-8);
    uint64_t amsgrad CBM_DEFAULT(0);
} cbm_adam_options;
typedef struct cbm_adamw_options {
    CBM_OPTIMIZER_FIELDS_(1e-3, 0.01, 1);
    double beta1 CBM_DEFAULT(0.9);
    double beta2 CBM_DEFAULT(0.999);
    double eps CBM_DEFAULT(1e-8);
    uint64_t amsgrad CBM_DEFAULT(0);
} cbm_adamw_options;

/* Adamax (Kingma and Ba 2015), Adam with the largest gradient in the place of their squares:
   m = beta1 m + (1 - beta1) g; u = max(beta2 u, |g| + eps); p = p - lr / (1 - beta1^t) m / u. */
typedef struct cbm_adamax_options {
    CBM_OPTIMIZER_FIELDS_(2e-3, 0, 0);
    double beta1 CBM_DEFAULT(0.9);
    double beta2 CBM_DEFAULT(0.999);
    double eps CBM_DEFAULT(1e-8);
} cbm_adamax_options;

/* NAdam (Dozat 2016), Adam with Nesterov's momentum: m and v as Adam's; mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2),
   M_t = mu_1 ... mu_t, d = sqrt(v / (1 - beta2^t)) + eps;
   p = p - lr (1 - mu_t) / (1 - M_t) g / d - lr mu_(t+1) / (1 - M_(t+1)) m / d. */
typedef struct cbm_nadam_options {
    CBM_OPTIMIZER_FIELDS_(2e-3, 0, 0);
    double beta1 CBM_DEFAULT(0.9);
    double beta2 CBM_DEFAULT(0.999);
    double eps CBM_DEFAULT(1e-8);
    double momentum_decay CBM_DEFAULT(4e-3);
} cbm_nadam_options;

/* RAdam (Liu et al. 2020), Adam with a rectified variance: m and v as Adam's; R = 2 / (1 - beta2) - 1,
   r = R - 2 t beta2^t / (1 - beta2^t). While r <= 5: p = p - lr m / (1 - beta1^t); afterwards that times
   sqrt((r - 4) (r - 2) R / ((R - 4) (R - 2) r)) sqrt(1 - beta2^t) / (sqrt(v) + eps). */
typedef struct cbm_radam_options {
    CBM_OPTIMIZER_FIELDS_(1e-3, 0, 0);
    double beta1 CBM_DEFAULT(0.9);
    double beta2 CBM_DEFAULT(0.999);
    double eps CBM_DEFAULT(1e-8);
} cbm_radam_options;

/* RMSprop (Tieleman and Hinton 2012): s = alpha s + (1 - alpha) g^2; centered (Graves 2013):
   a = alpha a + (1 - alpha) g, d = sqrt(s - a^2) + eps, otherwise d = sqrt(s) + eps; p = p - lr g / d, or with momentum
   b = momentum b + g / d; p = p - lr b. */
typedef struct cbm_rmsprop_options {
    CBM_OPTIMIZER_FIELDS_(1e-2, 0, 0);
    double alpha CBM_DEFAULT(0.99);
    double eps CBM_DEFAULT(1e-8);
    double momentum CBM_DEFAULT(0);
    uint64_t centered CBM_DEFAULT(0);
} cbm_rmsprop_options;

/* Adagrad (Duchi, Hazan and Singer 2011): s = s + g^2, from initial_accumulator_value on;
   p = p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps). */
typedef struct cbm_adagrad_options {
    CBM_OPTIMIZER_FIELDS_(1e-2, 0, 0);
    double lr_decay CBM_DEFAULT(0);
    double initial_accumulator_value CBM_DEFAULT(0);
    double eps CBM_DEFAULT(1e-10);
} cbm_adagrad_options;

/* Adadelta (Zeiler 2012): s = rho s + (1 - rho) g^2; d = sqrt(u + eps) / sqrt(s + eps) g; u = rho u + (1 - rho) d^2;
   p = p - lr d. */
typedef struct cbm_adadelta_options {
    CBM_OPTIMIZER_FIELDS_(1, 0, 0);
    double rho CBM_DEFAULT(0.9);
    double eps CBM_DEFAULT(1e-6);
} cbm_adadelta_options;

/* Rprop (Riedmiller and Braun 1993), for whole batches: each number has a step size, lr at first. Where g has the sign of
   the step before: size = min(size eta_plus, step_size_max); where it has the other: size = max(size eta_minus,
   step_size_min) and g = 0. p = p - size sign(g). */
typedef struct cbm_rprop_options {
    CBM_OPTIMIZER_FIELDS_(1e-2, 0, 0);
    double eta_minus CBM_DEFAULT(0.5); /* in [0, 1) */
    double eta_plus CBM_DEFAULT(1.2);  /* at least 1 */
    double step_size_min CBM_DEFAULT(1e-6);
    double step_size_max CBM_DEFAULT(50);
} cbm_rprop_options;

/* L-BFGS (Liu and Nocedal 1989), for whole batches: directions from the last history_size changes of parameters and
   gradients, in up to max_iter iterations a step. Each iteration evaluates the loss, so the step is cbm_step_closure, of up
   to max_eval evaluations (0: max_iter 5 / 4). The first iteration goes lr / max(1, sum |g|) along the gradient, later
   ones lr along their direction; with STRONG_WOLFE that is where a line search begins, which ends where the loss has fallen
   enough and its slope with it (Nocedal and Wright 2006, section 3.5). A step ends early where the largest |g| is at most
   tolerance_grad, or where neither the parameters nor the loss change by more than tolerance_change. Takes none of the
   fields above, no groups, and parameters of one dtype; its state is 2 history_size + 2 vectors of all parameters. */
enum { CBM_LINE_SEARCH_NONE = 0, CBM_LINE_SEARCH_STRONG_WOLFE = 1 };
typedef struct cbm_lbfgs_options {
    uint64_t struct_size;
    double lr CBM_DEFAULT(1);
    int64_t max_iter CBM_DEFAULT(20);
    int64_t max_eval CBM_DEFAULT(0);
    double tolerance_grad CBM_DEFAULT(1e-7);
    double tolerance_change CBM_DEFAULT(1e-9);
    int64_t history_size CBM_DEFAULT(100);
    int64_t line_search CBM_DEFAULT(CBM_LINE_SEARCH_NONE);
} cbm_lbfgs_options;

/* An optimizer of all of net's parameters. It belongs to the context; a failed one on error. */
CBM_API cbm_optimizer *cbm_sgd_with(cbm_module *net, const cbm_sgd_options *options);
CBM_API cbm_optimizer *cbm_adam_with(cbm_module *net, const cbm_adam_options *options);
CBM_API cbm_optimizer *cbm_adamw_with(cbm_module *net, const cbm_adamw_options *options);
CBM_API cbm_optimizer *cbm_adamax_with(cbm_module *net, const cbm_adamax_options *options);
CBM_API cbm_optimizer *cbm_nadam_with(cbm_module *net, const cbm_nadam_options *options);
CBM_API cbm_optimizer *cbm_radam_with(cbm_module *net, const cbm_radam_options *options);
CBM_API cbm_optimizer *cbm_rmsprop_with(cbm_module *net, const cbm_rmsprop_options *options);
CBM_API cbm_optimizer *cbm_adagrad_with(cbm_module *net, const cbm_adagrad_options *options);
CBM_API cbm_optimizer *cbm_adadelta_with(cbm_module *net, const cbm_adadelta_options *options);
CBM_API cbm_optimizer *cbm_rprop_with(cbm_module *net, const cbm_rprop_options *options);
CBM_API cbm_optimizer *cbm_lbfgs_with(cbm_module *net, const cbm_lbfgs_options *options);
CBM_API void cbm_sgd_options_init(cbm_sgd_options *options);
CBM_API void cbm_adam_options_init(cbm_adam_options *options);
CBM_API void cbm_adamw_options_init(cbm_adamw_options *options);
CBM_API void cbm_adamax_options_init(cbm_adamax_options *options);
CBM_API void cbm_nadam_options_init(cbm_nadam_options *options);
CBM_API void cbm_radam_options_init(cbm_radam_options *options);
CBM_API void cbm_rmsprop_options_init(cbm_rmsprop_options *options);
CBM_API void cbm_adagrad_options_init(cbm_adagrad_options *options);
CBM_API void cbm_adadelta_options_init(cbm_adadelta_options *options);
CBM_API void cbm_rprop_options_init(cbm_rprop_options *options);
CBM_API void cbm_lbfgs_options_init(cbm_lbfgs_options *options);

/* Frees an optimizer before its context closes; schedules on it must be released first. NULL is allowed. */
CBM_API void cbm_optimizer_release(cbm_optimizer *opt);

/* Updates all parameters that have a gradient, uses these gradients up, and computes all of it in one plan. All or
   nothing: after an error parameters, state and step count are as they were. */
CBM_API cbm_status cbm_step(cbm_optimizer *opt);
/* A step that asks for the loss itself: forgets the gradients, calls closure, which records the loss (one element) of the
   network as it is, goes back from it to the optimizer's parameters, and steps. L-BFGS does so several times. loss (NULL:
   not asked for) gets the loss before the step. All or nothing, over all evaluations: parameters, state, running statistics
   and random numbers are as they were after an error (of L-BFGS one is a loss that is not finite). */
typedef cbm_tensor *(*cbm_closure_fn)(void *user);
CBM_API cbm_status cbm_step_closure(cbm_optimizer *opt, cbm_closure_fn closure, void *user, double *loss);
/* Forgets the gradients of the optimizer's parameters. */
CBM_API void cbm_zero_grad(cbm_optimizer *opt);

CBM_API int64_t cbm_step_count(const cbm_optimizer *opt);
CBM_API void cbm_set_step_count(cbm_optimizer *opt, int64_t steps);   /* for checkpoints */
CBM_API const char *cbm_optimizer_name(const cbm_optimizer *opt);     /* "sgd", "adam", "adamw", ... */
CBM_API cbm_context *cbm_optimizer_context(const cbm_optimizer *opt); /* NULL for a failed one without context */

/* ---- options while it runs, by parameter group ---- */

/* An optimizer begins with one group, number 0, that holds all of its parameters. cbm_add_group moves some of them into a
   group of their own: those that fit everything that is said here. Its options begin as those of group 0; lr and
   weight_decay may be named at once. Gives the group's number, at most 255; -1 and an error if no parameter fits, or
   one in the list is not the optimizer's. */
#define CBM_AS_GROUP_0 (-1.0)
typedef struct cbm_group_options {
    uint64_t struct_size;
    cbm_module *module CBM_DEFAULT(NULL);            /* at or below this module */
    cbm_tensor *const *parameters CBM_DEFAULT(NULL); /* in this list */
    uint64_t parameter_count CBM_DEFAULT(0);         /* of the list */
    const char *prefix CBM_DEFAULT(NULL);            /* with a name that begins so: "encoder." */
    const char *suffix CBM_DEFAULT(NULL);            /* or ends so: "bias" */
    int64_t max_rank CBM_DEFAULT(CBM_MAX_DIMS); /* with at most so many dimensions; 1: biases, and norms' weights */
    double lr CBM_DEFAULT(CBM_AS_GROUP_0);
    double weight_decay CBM_DEFAULT(CBM_AS_GROUP_0);
} cbm_group_options;
CBM_API int64_t cbm_add_group_with(cbm_optimizer *opt, const cbm_group_options *options);
CBM_API int64_t cbm_group_count(const cbm_optimizer *opt);
/* The group of parameter number index of cbm_optimizer_parameter_at; -1: there is none. */
CBM_API int64_t cbm_group_of(const cbm_optimizer *opt, size_t index);

/* An option of a group by its field's name, "lr", "weight_decay", "beta1"; switches are 0 or 1. Numbers may change at each
   step at no cost; switching something on or off makes a new plan. group -1 sets all groups. NaN: no such group or
   option, an error. */
CBM_API double cbm_optimizer_option(cbm_optimizer *opt, int64_t group, const char *name);
CBM_API cbm_status cbm_set_optimizer_option(cbm_optimizer *opt, int64_t group, const char *name, double value);

/* The learning rate of group 0; and setting that of all groups: not negative, finite. */
CBM_API double cbm_learning_rate(const cbm_optimizer *opt);
CBM_API void cbm_set_learning_rate(cbm_optimizer *opt, double lr);

/* ---- looking at it ---- */

/* The parameters it updates, with the network's names. */
CBM_API size_t cbm_optimizer_parameter_count(const cbm_optimizer *opt);
CBM_API bool cbm_optimizer_parameter_at(const cbm_optimizer *opt, size_t index, cbm_named *out);
/* Its state, with PyTorch's names: "conv1.weight.momentum_buffer", "conv1.weight.exp_avg", ...; there from the start. */
CBM_API size_t cbm_optimizer_state_count(const cbm_optimizer *opt);
CBM_API bool cbm_optimizer_state_at(const cbm_optimizer *opt, size_t index, cbm_named *out);

/* ---- clipping: changes the gradients between backward and step. Only records ---- */

/* Scales all gradients by min(1, max_norm / (norm + 1e-6)), norm being the Euclidean norm of all of them together, which
   is returned (as it was before). */
CBM_API cbm_tensor *cbm_clip_grad_norm(cbm_optimizer *opt, double max_norm);
/* The same by another norm: (sum |g|^norm_type)^(1 / norm_type), norm_type > 0; INFINITY: the largest |g|. */
CBM_API cbm_tensor *cbm_clip_grad_norm_of(cbm_optimizer *opt, double max_norm, double norm_type);
/* Every number of every gradient into [-clip_value, clip_value]. */
CBM_API cbm_status cbm_clip_grad_value(cbm_optimizer *opt, double clip_value);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_SGD_DEFAULTS .lr = 1e-3, .nesterov = 0
#define CBM_ADAM_DEFAULTS .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .amsgrad = 0
#define CBM_ADAMW_DEFAULTS                                                                                             \
    .lr = 1e-3, .weight_decay = 0.01, .decoupled_weight_decay = 1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8,          \
    .amsgrad = 0
#define CBM_ADAMAX_DEFAULTS .lr = 2e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8
#define CBM_NADAM_DEFAULTS .lr = 2e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .momentum_decay = 4e-3
#define CBM_RADAM_DEFAULTS .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8
#define CBM_RMSPROP_DEFAULTS .lr = 1e-2, .alpha = 0.99, .eps = 1e-8, .centered = 0
#define CBM_ADAGRAD_DEFAULTS .lr = 1e-2, .eps = 1e-10
#define CBM_ADADELTA_DEFAULTS .lr = 1, .rho = 0.9, .eps = 1e-6
#define CBM_RPROP_DEFAULTS .lr = 1e-2, .eta_minus = 0.5, .eta_plus = 1.2, .step_size_min = 1e-6, .step_size_max = 50
#define CBM_LBFGS_DEFAULTS                                                                                             \
    .lr = 1, .max_iter = 20, .tolerance_grad = 1e-7, .tolerance_change = 1e-9, .history_size = 100,                    \
    .line_search = CBM_LINE_SEARCH_NONE
#define CBM_GROUP_DEFAULTS .max_rank = CBM_MAX_DIMS, .lr = CBM_AS_GROUP_0, .weight_decay = CBM_AS_GROUP_0

/* cbm_sgd(net, .lr = 0.05, .momentum = 0.9) */
#define cbm_sgd(...) CBM_OPTIMIZER_(sgd, SGD, __VA_ARGS__, .struct_size = sizeof(cbm_sgd_options))
#define cbm_adam(...) CBM_OPTIMIZER_(adam, ADAM, __VA_ARGS__, .struct_size = sizeof(cbm_adam_options))
#define cbm_adamw(...) CBM_OPTIMIZER_(adamw, ADAMW, __VA_ARGS__, .struct_size = sizeof(cbm_adamw_options))
#define cbm_adamax(...) CBM_OPTIMIZER_(adamax, ADAMAX, __VA_ARGS__, .struct_size = sizeof(cbm_adamax_options))
#define cbm_nadam(...) CBM_OPTIMIZER_(nadam, NADAM, __VA_ARGS__, .struct_size = sizeof(cbm_nadam_options))
#define cbm_radam(...) CBM_OPTIMIZER_(radam, RADAM, __VA_ARGS__, .struct_size = sizeof(cbm_radam_options))
#define cbm_rmsprop(...) CBM_OPTIMIZER_(rmsprop, RMSPROP, __VA_ARGS__, .struct_size = sizeof(cbm_rmsprop_options))
#define cbm_adagrad(...) CBM_OPTIMIZER_(adagrad, ADAGRAD, __VA_ARGS__, .struct_size = sizeof(cbm_adagrad_options))
#define cbm_adadelta(...) CBM_OPTIMIZER_(adadelta, ADADELTA, __VA_ARGS__, .struct_size = sizeof(cbm_adadelta_options))
#define cbm_rprop(...) CBM_OPTIMIZER_(rprop, RPROP, __VA_ARGS__, .struct_size = sizeof(cbm_rprop_options))
#define cbm_lbfgs(...) CBM_OPTIMIZER_(lbfgs, LBFGS, __VA_ARGS__, .struct_size = sizeof(cbm_lbfgs_options))
#define CBM_OPTIMIZER_(NAME, CAPITALS, net, ...)                                                                       \
    CBM_OPTIONS_(cbm_##NAME##_options, cbm_##NAME##_with(net, &cbm_o_), CBM_##CAPITALS##_DEFAULTS, __VA_ARGS__)
/* cbm_add_group(opt, .suffix = "bias", .weight_decay = 0) */
#define cbm_add_group(...) CBM_ADD_GROUP_(__VA_ARGS__, .struct_size = sizeof(cbm_group_options))
#define CBM_ADD_GROUP_(opt, ...)                                                                                       \
    CBM_OPTIONS_(cbm_group_options, cbm_add_group_with(opt, &cbm_o_), CBM_GROUP_DEFAULTS, __VA_ARGS__)
#else
#define CBM_OPTIMIZER_(NAME)                                                                                           \
    static inline cbm_optimizer *cbm_##NAME(cbm_module *net, const cbm_##NAME##_options &options = {})                 \
    {                                                                                                                  \
        cbm_##NAME##_options o = options;                                                                              \
        o.struct_size = sizeof o;                                                                                      \
        return cbm_##NAME##_with(net, &o);                                                                             \
    }
CBM_OPTIMIZER_(sgd)
CBM_OPTIMIZER_(adam)
CBM_OPTIMIZER_(adamw)
CBM_OPTIMIZER_(adamax)
CBM_OPTIMIZER_(nadam)
CBM_OPTIMIZER_(radam)
CBM_OPTIMIZER_(rmsprop)
CBM_OPTIMIZER_(adagrad)
CBM_OPTIMIZER_(adadelta)
CBM_OPTIMIZER_(rprop)
CBM_OPTIMIZER_(lbfgs)
static inline int64_t cbm_add_group(cbm_optimizer *opt, const cbm_group_options &options = {})
{
    cbm_group_options o = options;
    o.struct_size = sizeof o;
    return cbm_add_group_with(opt, &o);
}
#endif

#endif
