// An outside program in C++17: layers, options and the training loop from C++, until the loss has fallen.
#include <cambium/cambium.h>

#include <cstdio>
#include <vector>

int main()
{
    if (cbm_version_number() != CBM_VERSION_MAJOR * 10000 + CBM_VERSION_MINOR * 100 + CBM_VERSION_PATCH)
        return 1;
    cbm_context *cx = cbm_open(nullptr);
    std::vector<float> xs, ys;
    for (int i = 0; i < 64; i++) {
        xs.push_back(static_cast<float>(i) / 32.0f - 1.0f);
        ys.push_back(xs.back() * xs.back());
    }
    cbm_module *net = cbm_sequential(cx, cbm_nn_linear(cx, 1, 16), cbm_nn_tanh(cx), cbm_nn_linear(cx, 16, 1), CBM_END);
    cbm_adam_options options;
    options.lr = 0.02;
    cbm_optimizer *opt = cbm_adam(net, options);
    cbm_group_options biases;
    biases.suffix = "bias";
    biases.lr = 0.01;
    cbm_schedule_exponential_options decay;
    decay.gamma = 0.999;
    if (cbm_add_group(opt, biases) != 1 || cbm_optimizer_option(opt, 1, "lr") != 0.01)
        return 1;
    cbm_schedule *schedule = cbm_schedule_exponential(opt, decay);
    cbm_average *average = cbm_ema(net);
    cbm_tensor *x = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(64, 1), xs.data());
    cbm_tensor *y = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(64, 1), ys.data());
    double before = 0, after = 0;
    for (int i = 0; i < 300; i++) {
        CBM_SCOPE(step, cx);
        cbm_tensor *loss = cbm_mse(cbm_call(net, x), y);
        cbm_backward(loss);
        cbm_step(opt);
        cbm_schedule_next(schedule);
        cbm_average_update(average);
        after = cbm_item(loss);
        if (i == 0)
            before = after;
    }
    const cbm_status status = cbm_context_status(cx);
    std::printf("Cambium %s: loss %.4f, then %.4f %s\n", cbm_version(), before, after, cbm_message(cx));
    cbm_close(cx);
    return status == CBM_OK && after < 0.1 * before ? 0 : 1;
}
