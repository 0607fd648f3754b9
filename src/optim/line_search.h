/* line_search.h: how far to go along a direction: a line search with cubic interpolation until the strong Wolfe conditions
   hold. */
#ifndef CAMBIUM_OPTIM_LINE_SEARCH_H
#define CAMBIUM_OPTIM_LINE_SEARCH_H

#include <cambium/tensor.h>

/* A place on the line, at t times the direction: the loss, its slope along the direction, and the gradient (retained). */
typedef struct cbm_line_point {
    double t, loss, slope;
    double largest; /* absolute number of the gradient */
    cbm_tensor *gradient;
} cbm_line_point;
/* Lets go of what *to holds, takes hold of what from has. from NULL: nothing. */
void cbm_line_point_set(cbm_line_point *to, const cbm_line_point *from);

typedef struct cbm_line_search {
    /* Fills all of *out (which holds no gradient) but t. false: an error, and the search ends. */
    bool (*evaluate)(void *user, double t, cbm_line_point *out);
    void *user;
    cbm_line_point start; /* t = 0 */
    double reach;         /* the direction's largest absolute number */
    double tolerance;     /* a bracket in which nothing moves further than that is small enough */
    int64_t evaluations;  /* out */
} cbm_line_search;

/* Searches from a first t on; *best is where to go, a place that was evaluated. false: an error. */
bool cbm_line_search_run(cbm_line_search *s, double t, cbm_line_point *best);

#endif
