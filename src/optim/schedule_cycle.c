/* schedule_cycle.c: rates that rise and fall while the momentum falls and rises: cycles (Smith 2017) and the one cycle
   (Smith and Topin 2019). */
#include "optim/schedule.h"

static bool momenta_fit(double base, double max)
{
    return base >= 0 && base < 1 && max >= 0 && max < 1;
}

/* An optimizer whose momentum is to be cycled must have one. */
static bool has_momentum(const cbm_schedule *s)
{
    if (cbm_momentum_of(s->opt))
        return true;
    cbm_fail(s->cx, CBM_ERROR_INVALID, "[%s] %s has neither momentum nor beta1. HINT: .cycle_momentum = false",
             s->kind->name, s->opt->kind->name);
    return false;
}

/* ---- cycles ---- */

/* How high t is in its cycle, from 0 to 1, the cycle's own height included. */
static double height(const cbm_schedule_cyclic_options *o, int64_t t)
{
    double up = (double)o->step_size_up, down = o->step_size_down > 0 ? (double)o->step_size_down : up;
    double total = up + down, peak = up / total;
    double cycle = floor(1 + (double)t / total), x = 1 + (double)t / total - cycle;
    double scale = x <= peak ? x / peak : (x - 1) / (peak - 1);
    if (o->mode == CBM_CYCLIC_TRIANGULAR2)
        return scale / pow(2, cycle - 1);
    return o->mode == CBM_CYCLIC_EXP_RANGE ? scale * pow(o->gamma, (double)t) : scale;
}

static double cyclic_rate(const cbm_schedule *s, int64_t t, size_t group, double base)
{
    (void)group;
    (void)base;
    const cbm_schedule_cyclic_options *o = &s->options.cyclic;
    return o->base_lr + (o->max_lr - o->base_lr) * height(o, t);
}

static double cyclic_momentum(const cbm_schedule *s, int64_t t)
{
    const cbm_schedule_cyclic_options *o = &s->options.cyclic;
    return o->cycle_momentum ? o->max_momentum - (o->max_momentum - o->base_momentum) * height(o, t) : NAN;
}

static bool cyclic_fits(const void *options)
{
    const cbm_schedule_cyclic_options *o = options;
    return isfinite(o->base_lr) && o->base_lr >= 0 && isfinite(o->max_lr) && o->max_lr >= 0 && o->step_size_up >= 1 &&
           o->step_size_down >= 0 && o->mode >= 0 && o->mode <= CBM_CYCLIC_EXP_RANGE && isfinite(o->gamma) &&
           o->gamma >= 0 && momenta_fit(o->base_momentum, o->max_momentum);
}

static bool cyclic_furnish(cbm_schedule *s)
{
    return !s->options.cyclic.cycle_momentum || has_momentum(s);
}

cbm_schedule *cbm_schedule_cyclic_with(cbm_optimizer *opt, const cbm_schedule_cyclic_options *o)
{
    static const cbm_schedule_kind kind = {
        .name = "schedule_cyclic",
        .options_size = sizeof *o,
        .fits = cyclic_fits,
        .needs = "finite rates >= 0, step_size_up >= 1, a mode of CBM_CYCLIC_..., and momenta in [0, 1)",
        .furnish = cyclic_furnish,
        .rate = cyclic_rate,
        .momentum = cyclic_momentum,
    };
    return cbm_schedule_open(opt, &kind, o);
}

/* ---- one cycle ---- */

/* The part of the course that t is in: from where to where, and how much of it is over. */
typedef struct phase {
    double end; /* its last step */
    double start_lr, end_lr, start_momentum, end_momentum;
    double part;
} phase;

static phase phase_at(const cbm_schedule_one_cycle_options *o, int64_t t)
{
    const double total = (double)o->total_steps, rise = o->pct_start * total, first = o->max_lr / o->div_factor;
    const double last = first / o->final_div_factor, low = o->base_momentum, high = o->max_momentum;
    const phase two[] = { { rise - 1, first, o->max_lr, high, low, 0 }, { total - 1, o->max_lr, last, low, high, 0 } };
    const phase three[] = { two[0],
                            { 2 * rise - 2, o->max_lr, first, low, high, 0 },
                            { total - 1, first, last, high, high, 0 } };
    const phase *phases = o->three_phase ? three : two;
    const size_t count = o->three_phase ? 3 : 2;
    const double step = (double)t < total - 1 ? (double)t : total - 1;
    size_t i = 0;
    while (i + 1 < count && step > phases[i].end)
        i++;
    phase p = phases[i];
    const double start = i > 0 ? phases[i - 1].end : 0, length = p.end - start;
    p.part = length > 0 ? (step - start) / length : 1;
    return p;
}

static double between(const cbm_schedule_one_cycle_options *o, double start, double end, double part)
{
    return o->linear ? (end - start) * part + start : end + (start - end) / 2 * (cos(CBM_PI * part) + 1);
}

static double one_cycle_rate(const cbm_schedule *s, int64_t t, size_t group, double base)
{
    (void)group;
    (void)base;
    const phase p = phase_at(&s->options.one_cycle, t);
    return between(&s->options.one_cycle, p.start_lr, p.end_lr, p.part);
}

static double one_cycle_momentum(const cbm_schedule *s, int64_t t)
{
    const phase p = phase_at(&s->options.one_cycle, t);
    return s->options.one_cycle.cycle_momentum
               ? between(&s->options.one_cycle, p.start_momentum, p.end_momentum, p.part)
               : NAN;
}

static bool one_cycle_fits(const void *options)
{
    const cbm_schedule_one_cycle_options *o = options;
    return isfinite(o->max_lr) && o->max_lr >= 0 && o->total_steps >= 1 && o->pct_start >= 0 && o->pct_start <= 1 &&
           isfinite(o->div_factor) && o->div_factor > 0 && isfinite(o->final_div_factor) && o->final_div_factor > 0 &&
           momenta_fit(o->base_momentum, o->max_momentum);
}

static bool one_cycle_furnish(cbm_schedule *s)
{
    return !s->options.one_cycle.cycle_momentum || has_momentum(s);
}

cbm_schedule *cbm_schedule_one_cycle_with(cbm_optimizer *opt, const cbm_schedule_one_cycle_options *o)
{
    static const cbm_schedule_kind kind = {
        .name = "schedule_one_cycle",
        .options_size = sizeof *o,
        .fits = one_cycle_fits,
        .needs = "a finite max_lr >= 0, total_steps >= 1, pct_start in [0, 1], factors above 0, and momenta in [0, 1)",
        .furnish = one_cycle_furnish,
        .rate = one_cycle_rate,
        .momentum = one_cycle_momentum,
    };
    return cbm_schedule_open(opt, &kind, o);
}
