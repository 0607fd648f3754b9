/* line_search.c: a point that satisfies the strong Wolfe conditions (Nocedal and Wright 2006, algorithms 3.5 and 3.6): first
   steps that grow until they bracket one, then a bracket that shrinks. In PyTorch's order of decisions; a loss that is not
   finite counts as one that is too high. */
#include "optim/line_search.h"
#include <math.h>

#define DECREASE 1e-4 /* c1: of the slope, that the loss must fall by */
#define CURVATURE 0.9 /* c2: of the slope, that may be left */
#define LONGEST 25    /* evaluations after the first */
#define LEAST_GROWTH 0.01
#define MOST_GROWTH 10
#define MARGIN 0.1 /* of a bracket, that a new point keeps away from its ends */

void cbm_line_point_set(cbm_line_point *to, const cbm_line_point *from)
{
    cbm_tensor *old = to->gradient;
    *to = from ? *from : (cbm_line_point){ 0 };
    cbm_retain(to->gradient);
    cbm_release(old);
}

/* The minimum between low and high of the cubic through two points with their slopes; their middle if there is none. */
static double interpolate(const cbm_line_point *a, const cbm_line_point *b, double low, double high)
{
    const cbm_line_point *left = a->t <= b->t ? a : b, *right = a->t <= b->t ? b : a;
    double d1 = a->slope + b->slope - 3 * (a->loss - b->loss) / (a->t - b->t);
    double square = d1 * d1 - a->slope * b->slope;
    if (!(square >= 0) || !isfinite(square))
        return (low + high) / 2;
    double d2 = sqrt(square);
    double at = right->t - (right->t - left->t) * ((right->slope + d2 - d1) / (right->slope - left->slope + 2 * d2));
    return isnan(at) ? (low + high) / 2 : fmin(fmax(at, low), high);
}

static bool falls_enough(const cbm_line_search *s, const cbm_line_point *p)
{
    return p->loss <= s->start.loss + DECREASE * p->t * s->start.slope;
}

static bool is_flat_enough(const cbm_line_search *s, const cbm_line_point *p)
{
    return fabs(p->slope) <= -CURVATURE * s->start.slope;
}

static bool evaluate(cbm_line_search *s, double t, cbm_line_point *out)
{
    cbm_line_point_set(out, NULL);
    s->evaluations++;
    bool fine = s->evaluate(s->user, t, out);
    out->t = t;
    return fine;
}

/* A bracket: two points with what is looked for between them; low is the one with the lower loss. */
typedef struct bracket {
    cbm_line_point point[2];
    int low;
    bool found;    /* point[low] is it */
    int64_t steps; /* evaluations after the first */
} bracket;

static void choose_low(bracket *b)
{
    b->low = b->point[1].loss < b->point[0].loss ? 1 : 0;
}

/* Steps that grow until a point is found, or there are two with one between them. */
static bool enclose(cbm_line_search *s, double t, bracket *b)
{
    cbm_line_point *before = &b->point[0], *now = &b->point[1];
    cbm_line_point_set(before, &s->start);
    if (!evaluate(s, t, now))
        return false;
    while (b->steps < LONGEST) {
        if (!falls_enough(s, now) || (b->steps > 1 && now->loss >= before->loss))
            break;
        b->found = is_flat_enough(s, now);
        if (b->found || now->slope >= 0)
            break;
        double next = interpolate(before, now, now->t + LEAST_GROWTH * (now->t - before->t), now->t * MOST_GROWTH);
        cbm_line_point_set(before, now);
        if (!evaluate(s, next, now))
            return false;
        b->steps++;
    }
    if (b->steps == LONGEST) /* never enclosed: the better of where it began and where it is */
        cbm_line_point_set(before, &s->start);
    choose_low(b);
    b->low = b->found ? 1 : b->low;
    return true;
}

/* A new t inside the bracket; when points come too close to its ends a second time, away from them. */
static double inside(const bracket *b, bool *close)
{
    double left = fmin(b->point[0].t, b->point[1].t), right = fmax(b->point[0].t, b->point[1].t);
    double t = interpolate(&b->point[0], &b->point[1], left, right), margin = MARGIN * (right - left);
    bool near_end = fmin(right - t, t - left) < margin;
    if (near_end && (*close || t >= right || t <= left)) {
        *close = false;
        return fabs(t - right) < fabs(t - left) ? right - margin : left + margin;
    }
    *close = near_end;
    return t;
}

static bool shrink(cbm_line_search *s, bracket *b)
{
    cbm_line_point now = { 0 };
    bool close = false, fine = true;
    while (fine && !b->found && b->steps < LONGEST && fabs(b->point[1].t - b->point[0].t) * s->reach >= s->tolerance) {
        fine = evaluate(s, inside(b, &close), &now);
        b->steps++;
        cbm_line_point *low = &b->point[b->low], *high = &b->point[1 - b->low];
        if (!fine)
            break;
        if (!falls_enough(s, &now) || !(now.loss < low->loss)) {
            cbm_line_point_set(high, &now);
            choose_low(b);
            continue;
        }
        b->found = is_flat_enough(s, &now);
        if (!b->found && now.slope * (high->t - low->t) >= 0)
            cbm_line_point_set(high, low);
        cbm_line_point_set(low, &now);
    }
    cbm_line_point_set(&now, NULL);
    return fine;
}

bool cbm_line_search_run(cbm_line_search *s, double t, cbm_line_point *best)
{
    bracket b = { 0 };
    s->evaluations = 0;
    bool fine = enclose(s, t, &b) && shrink(s, &b);
    cbm_line_point_set(best, fine ? &b.point[b.low] : NULL);
    cbm_line_point_set(&b.point[0], NULL);
    cbm_line_point_set(&b.point[1], NULL);
    return fine;
}
