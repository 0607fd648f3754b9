/* init.c: filling variables with initial values. */
#include "nn/layer.h"

static void refill(cbm_tensor *variable, cbm_tensor *(*make)(cbm_tensor *, double), double number)
{
    if (!variable || variable->failed || !cbm_usable(variable->cx, variable))
        return;
    cbm_scope *scope = cbm_layer_scope(variable->cx);
    cbm_assign(variable, make(variable, number));
    cbm_scope_end(scope);
}

static cbm_tensor *make_uniform(cbm_tensor *v, double bound)
{
    return cbm_uniform(v->cx, cbm_tensor_dtype(v), cbm_tensor_shape(v), -bound, bound);
}

static cbm_tensor *make_normal(cbm_tensor *v, double deviation)
{
    return cbm_normal(v->cx, cbm_tensor_dtype(v), cbm_tensor_shape(v), 0, deviation);
}

static cbm_tensor *make_constant(cbm_tensor *v, double value)
{
    return cbm_full(v->cx, cbm_tensor_dtype(v), cbm_tensor_shape(v), value);
}

void cbm_init_uniform(cbm_tensor *variable, double bound)
{
    refill(variable, make_uniform, bound);
}

void cbm_init_normal(cbm_tensor *variable, double deviation)
{
    refill(variable, make_normal, deviation);
}

void cbm_init_constant(cbm_tensor *variable, double value)
{
    refill(variable, make_constant, value);
}
