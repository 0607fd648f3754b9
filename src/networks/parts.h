/* parts.h: what the files of this folder share: a network's description, and parts that several networks have. Rests on
   nn/layer.h. */
#ifndef CAMBIUM_NETWORKS_PARTS_H
#define CAMBIUM_NETWORKS_PARTS_H

#include "nn/layer.h"
#include <cambium/networks.h>

/* A network of the table (networks.c). make gets options in which nothing is left open. */
typedef struct cbm_network_form {
    const char *name, *source;
    cbm_module *(*make)(cbm_context *cx, const struct cbm_network_form *form, const cbm_network_options *o);
    int64_t channels, height, classes; /* height: and width */
    double dropout;
    const int64_t *numbers; /* the network's own: depths, widths */
} cbm_network_form;

/* One table a file, ended by a form without a name. */
extern const cbm_network_form cbm_networks_lenet[], cbm_networks_plain[], cbm_networks_resnet[], cbm_networks_cifar[],
    cbm_networks_densenet[], cbm_networks_squeezenet[], cbm_networks_mobile[], cbm_networks_unet[];

/* ---- parts.c ---- */

/* Adds a part under its name and returns it. */
cbm_module *cbm_network_part(cbm_module *m, const char *name, cbm_module *child);
/* A convolution that keeps extents but for its stride, without bias; and a batch norm. */
cbm_module *cbm_network_conv(cbm_context *cx, const cbm_network_options *o, int64_t in, int64_t out, int64_t kernel,
                             int64_t stride, int64_t groups);
cbm_module *cbm_network_norm(cbm_context *cx, const cbm_network_options *o, int64_t channels);
cbm_module *cbm_network_linear(cbm_context *cx, const cbm_network_options *o, int64_t in, int64_t out);
/* classifier(flatten(avgpool(features(x)))), parts by these names; avgpool and classifier may be NULL. */
cbm_module *cbm_network_classifier(cbm_context *cx, const char *type, cbm_module *features, cbm_module *avgpool,
                                   cbm_module *classifier);

/* Draws the weights of all convolutions and linear layers at and below m anew. */
typedef struct cbm_network_weights {
    double conv_gain; /* convolutions: normal, Kaiming's; 0: as they are */
    cbm_fan conv_fan;
    bool conv_uniform; /* uniform instead */
    double linear;     /* the deviation of linear layers' normal weights; 0: as they are */
} cbm_network_weights;
void cbm_network_draw(cbm_module *m, const cbm_network_weights *w); /* biases that go with what is drawn: 0 */

#endif
