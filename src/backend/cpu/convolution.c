/* convolution.c: the algorithms of convolution behind one type, and the rules that choose between them when nothing has
   been measured. Rests on onednn.h and winograd.h. */
#include "backend/cpu/convolution.h"
#include "backend/cpu/cpu.h"
#include "backend/cpu/winograd.h"

#include <stdlib.h>

const char *const cbm_conv_algorithm_names[CBM_CONV_ALGORITHMS] = { "direct", "library", "winograd" };

struct cbm_convolution {
    cbm_dnn *dnn;
    cbm_winograd *winograd;
    cbm_post gate; /* of y, count elements, after oneDNN, whose own gates turn NaN into 0 */
    int64_t count, threads;
};

static bool three_by_three(const cbm_dnn_conv *c)
{
    return c->dimensions == 2 && c->groups == 1 && c->kernel[1] == 3 && c->kernel[2] == 3 && c->stride[1] == 1 &&
           c->stride[2] == 1 && c->dilation[1] == 1 && c->dilation[2] == 1;
}

static int64_t out_places(const cbm_dnn_conv *c)
{
    return (c->dimensions == 3 ? c->out[0] : 1) * c->out[1] * c->out[2];
}

static cbm_winograd_conv own_form(const cbm_dnn_conv *c)
{
    return (cbm_winograd_conv){ .direction = c->direction,
                                .batch = c->batch,
                                .channels = c->channels,
                                .height = c->in[1],
                                .width = c->in[2],
                                .out_channels = c->out_channels,
                                .out_height = c->out[1],
                                .out_width = c->out[2],
                                .padding = { c->padding[1], c->padding[2] },
                                .x_layout = c->x_layout,
                                .y_layout = c->y_layout,
                                .bias = c->bias,
                                .add = c->add,
                                .relu = c->relu,
                                .upper = c->upper,
                                .packed_weight = c->packed_weight };
}

bool cbm_conv_suits(const cbm_dnn_conv *c, cbm_conv_algorithm algorithm)
{
    if (algorithm == CBM_CONV_DIRECT)
        return cbm_dnn_present();
    if (c->direct_only || !three_by_three(c) || c->x_bf16 || c->weight_bf16 || c->y_bf16)
        return false;
    const cbm_winograd_conv own = own_form(c);
    return algorithm == CBM_CONV_WINOGRAD ? cbm_winograd_suits(&own) : cbm_dnn_present();
}

cbm_conv_algorithm cbm_conv_rule(const cbm_dnn_conv *c)
{
    if (!cbm_conv_suits(c, CBM_CONV_WINOGRAD))
        return CBM_CONV_DIRECT;
    const cbm_winograd_conv own = own_form(c);
    return cbm_winograd_pays(&own) || !cbm_dnn_present() ? CBM_CONV_WINOGRAD : CBM_CONV_DIRECT;
}

cbm_convolution *cbm_convolution_open(const cbm_dnn_conv *c, cbm_conv_algorithm algorithm, int64_t threads)
{
    cbm_convolution *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    if (algorithm == CBM_CONV_WINOGRAD) {
        const cbm_winograd_conv own = own_form(c);
        made->winograd = cbm_winograd_open(&own, threads);
    } else {
        cbm_dnn_conv exact = *c;
        exact.direct_only = algorithm == CBM_CONV_DIRECT;
        if (c->relu && !c->packed_weight && !c->y_bf16) { /* training must see what has become NaN */
            exact.relu = false;
            exact.upper = 0;
            *made = (cbm_convolution){ .gate = { .relu = true, .upper = c->upper },
                                       .count = c->batch * c->out_channels * out_places(c),
                                       .threads = threads };
        }
        made->dnn = cbm_dnn_convolution(&exact, threads);
    }
    if (made->winograd || made->dnn)
        return made;
    free(made);
    return NULL;
}

size_t cbm_convolution_workspace(const cbm_convolution *c)
{
    return c->winograd ? cbm_winograd_workspace(c->winograd) : cbm_dnn_workspace(c->dnn);
}

bool cbm_convolution_run(cbm_convolution *c, void *x, void *weight, void *y, void *bias, void *workspace)
{
    if (c->winograd) {
        cbm_winograd_run(c->winograd, x, weight, y, bias, workspace);
        return true;
    }
    void *const pointers[] = { x, weight, y, bias };
    if (!cbm_dnn_run(c->dnn, pointers, workspace))
        return false;
    cbm_post_run(&c->gate, y, c->count, NULL, 1, NULL, c->threads);
    return true;
}

size_t cbm_convolution_packed_bytes(const cbm_convolution *c)
{
    return c->winograd ? cbm_winograd_packed_bytes(c->winograd) : cbm_dnn_packed_bytes(c->dnn);
}

bool cbm_convolution_pack(cbm_convolution *c, const void *plain, void *packed, int64_t threads)
{
    if (c->winograd) {
        cbm_winograd_pack(c->winograd, plain, packed);
        return true;
    }
    cbm_dnn *packer = cbm_dnn_packer(c->dnn, threads);
    void *const pointers[] = { (void *)(uintptr_t)plain, packed };
    void *workspace =
        packer && cbm_dnn_workspace(packer) ? aligned_alloc(64, (cbm_dnn_workspace(packer) + 63) / 64 * 64) : NULL;
    const bool ok = packer && (workspace || !cbm_dnn_workspace(packer)) && cbm_dnn_run(packer, pointers, workspace);
    free(workspace);
    cbm_dnn_free(packer);
    return ok;
}

const char *cbm_convolution_describe(const cbm_convolution *c)
{
    return c->winograd ? "own winograd F(4x4, 3x3)" : cbm_dnn_describe(c->dnn);
}

bool cbm_convolution_sure(const cbm_convolution *c)
{
    return c->winograd || cbm_dnn_sure(c->dnn);
}

void cbm_convolution_free(cbm_convolution *c)
{
    if (!c)
        return;
    cbm_winograd_free(c->winograd);
    cbm_dnn_free(c->dnn);
    free(c);
}
