/* init.c: filling variables with initial values, and making a layer's parameters as PyTorch does by default:
   kaiming_uniform with a = sqrt(5), which is uniform in +-1/sqrt(fan in) for weights as for biases. */
#include "nn/init.h"
#include <math.h>

static cbm_scope *quiet_scope(cbm_context *cx)
{
    cbm_scope_options options = { .struct_size = sizeof options, .no_grad = 1, .quiet = 1 };
    return cbm_scope_begin_with(cx, &options);
}

cbm_status cbm_add_uniform(cbm_module *m, const char *name, cbm_dtype dtype, cbm_shape shape, double bound)
{
    cbm_scope *scope = quiet_scope(m->cx);
    cbm_tensor *variable = cbm_variable(cbm_uniform(m->cx, dtype, shape, -bound, bound), true);
    cbm_status status = cbm_add_parameter(m, name, variable);
    cbm_release(variable);
    cbm_scope_end(scope);
    return status;
}

cbm_status cbm_add_full(cbm_module *m, const char *name, cbm_dtype dtype, cbm_shape shape, double value, bool buffer)
{
    cbm_scope *scope = quiet_scope(m->cx);
    cbm_tensor *variable = cbm_variable(cbm_full(m->cx, dtype, shape, value), !buffer);
    cbm_status status = buffer ? cbm_add_buffer(m, name, variable) : cbm_add_parameter(m, name, variable);
    cbm_release(variable);
    cbm_scope_end(scope);
    return status;
}

static void refill(cbm_tensor *variable, cbm_tensor *(*make)(cbm_tensor *, double), double number)
{
    if (!variable || variable->failed || !cbm_usable(variable->cx, variable))
        return;
    cbm_scope *scope = quiet_scope(variable->cx);
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
