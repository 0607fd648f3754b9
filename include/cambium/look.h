/* look.h: looking inside a network: what its layers give for some inputs, and whether that is the picture of a good training
   or of a bad one. */
#ifndef CAMBIUM_LOOK_H
#define CAMBIUM_LOOK_H

#include <cambium/data.h>
#include <cambium/nn.h>

CBM_BEGIN_DECLS

/* What a layer gives for a batch. A unit is a feature map of (N, C, ...), or a column of (N, C). */
typedef struct cbm_layer_look {
    char name[256];   /* "conv1" */
    const char *type; /* "conv2d" */
    cbm_shape output; /* (N, C, ...) */
    int64_t units, samples;
    double mean, deviation; /* of all elements */
    double zeros;           /* the part of elements that is 0 */
    /* Sparseness (1 - mean(|a|)^2 / mean(a^2)) / (1 - 1/n), 0: all n alike, 1: one alone is not 0; Vinje and Gallant (2000).
       Over samples: of a unit's elements, the mean over units. Over features: of the units at one place of one sample, the mean
       over these. Units and places that are 0 everywhere do not count; NaN: nothing does. */
    double sparse_samples, sparse_features;
    int64_t dead;       /* units that are 0 everywhere, for every sample */
    int64_t constant;   /* units that ignore the input: between samples they vary by less than a hundredth of what the
                               layer's elements are large (root mean square) */
    double correlation; /* the mean of |correlation| over pairs of units that vary; NaN with less than two such */
    double saturated;   /* of sigmoid and tanh: the part of elements within 0.02 of an end; otherwise 0 */
} cbm_layer_look;

/* Calls row for each layer (a module without parts) that a forward of input meets, in order, in the mode in which network
   is, without gradients; layers whose output is not (N, C, ...) of floats with N >= 2 are passed over. Of more than 64 units
   64 are correlated, spread over all. */
CBM_API cbm_status cbm_look_at_layers(cbm_module *network, cbm_tensor *input,
                                      void (*row)(const cbm_layer_look *look, void *user), void *user);

/* What is wrong with a layer, in words, "" if nothing is: most units dead, most units ignore the input, units that say the
   same (mean correlation above 0.75, of four units or more), most elements saturated. Returns whether there is something. */
CBM_API bool cbm_look_verdict(const cbm_layer_look *look, char *text, size_t size);

/* ---- which parts of an input a score comes from ---- */

/* In what follows network gives scores (N, classes) for x (N, ...), floats; it is called in evaluation mode and its modes are put
   back. score is the number of one, or CBM_TOP: of each sample the largest. The results are new tensors of the current
   scope, which must record gradients. On error they are failed tensors. */
#define CBM_TOP (-1)

typedef enum cbm_way_back {
    CBM_WAY_GRADIENT = 0, /* d score / d x. Simonyan, Vedaldi, Zisserman, Deep inside convolutional networks (2013) */
    CBM_WAY_GUIDED = 1, /* the same, but nothing negative passes back through a relu. Springenberg et al., Striving for
                             simplicity (2014) */
    CBM_WAY_DECONVNET = 2 /* back through a relu comes what is positive, wherever the relu itself was 0. Zeiler, Fergus,
                             Visualizing and understanding convolutional networks (2013) */
} cbm_way_back;
/* Of x's shape. The last two change relu modules (cbm_nn_relu), not calls of cbm_relu; with CBM_WAY_DECONVNET nothing else
   may use what goes into them. */
CBM_API cbm_tensor *cbm_attribution(cbm_module *network, cbm_tensor *x, int64_t score, cbm_way_back way);
/* (N, C, H, W) -> (N, H, W): the largest absolute value over the channels of cbm_attribution's gradient. */
CBM_API cbm_tensor *cbm_saliency(cbm_module *network, cbm_tensor *x, int64_t score);
/* (N, h, w), the places of that layer's output A (N, K, h, w): relu(sum over k of w[k] A[k]), w[k] being the mean over places
   of d score / d A[k]. Selvaraju et al., Grad-CAM (2016). An unknown layer is CBM_ERROR_INVALID. */
CBM_API cbm_tensor *cbm_grad_cam(cbm_module *network, cbm_tensor *x, int64_t score, const char *layer);
/* x (1, C, H, W) -> (down, across): by how much the score falls when a square of that side, its left upper corner at
   multiples of stride, is filled with value. score CBM_TOP: that of the whole picture. */
CBM_API cbm_tensor *cbm_occlusion(cbm_module *network, cbm_tensor *x, int64_t score, int64_t side, int64_t stride,
                                  double value);
/* Of start's shape (N, ...): what raises a score most, by gradient ascent from start, each sample for itself:
   x += rate (d score / d x - decay x), steps times. From 0 a network of relu may give no gradient: begin with a little noise. */
CBM_API cbm_tensor *cbm_class_model(cbm_module *network, cbm_tensor *start, int64_t score, int64_t steps, double rate,
                                    double decay);

/* ---- what excites a unit ---- */

/* Where a unit was largest in one sample. */
typedef struct cbm_excitement {
    int64_t sample;      /* its index in the dataset; -1: none */
    int64_t row, column; /* the place in the layer's output (N, K, h, w); 0 for (N, K) */
    double value;
} cbm_excitement;
/* For each of the first `units` units of a layer the `most` samples in which it is largest, at their largest place, by falling
   value: out[unit * most + i]. One pass over loader in evaluation mode; modes are put back. An unknown layer, or more units
   than it has, is CBM_ERROR_INVALID. */
CBM_API cbm_status cbm_most_exciting(cbm_module *network, cbm_loader *loader, const char *layer, int64_t units,
                                     int64_t most, cbm_excitement *out);

/* ---- many dimensions drawn in two ---- */

/* x (N, D), f32 or f64 -> (N, k): the coordinates along the k directions in which the rows vary most (principal component
   analysis), by falling variance. k is at most N and D. Of each direction the largest part is positive. */
CBM_API cbm_tensor *cbm_pca(cbm_tensor *x, int64_t k);

typedef struct cbm_tsne_options {
    uint64_t struct_size;
    double perplexity
        CBM_DEFAULT(30); /* about how many neighbours count; less than N / 3 is sensible, less than N needed */
    int64_t steps CBM_DEFAULT(500); /* at least 1; the first quarter with exaggeration 12 */
    double rate CBM_DEFAULT(0);     /* 0: max(N / 48, 50) */
} cbm_tsne_options;
CBM_API void cbm_tsne_options_init(cbm_tsne_options *options);
/* x (N, D) -> (N, 2), f32, in which near rows stay near: van der Maaten and Hinton, Visualizing data using t-SNE (2008), exactly, in
   N^2 D + steps N^2 time and N^2 memory; it begins with cbm_pca. 2 <= N <= 20000. */
CBM_API cbm_tensor *cbm_tsne_with(cbm_tensor *x, const cbm_tsne_options *options);

CBM_END_DECLS

#ifdef __cplusplus
static inline cbm_tensor *cbm_tsne(cbm_tensor *x, const cbm_tsne_options &options = {})
{
    cbm_tsne_options o = options;
    o.struct_size = sizeof o;
    return cbm_tsne_with(x, &o);
}
#else
/* cbm_tsne(x), cbm_tsne(x, .perplexity = 10) */
#define CBM_TSNE_DEFAULTS .perplexity = 30, .steps = 500, .rate = 0
#define cbm_tsne(...) CBM_TSNE_(__VA_ARGS__, .struct_size = sizeof(cbm_tsne_options))
#define CBM_TSNE_(x, ...) CBM_OPTIONS_(cbm_tsne_options, cbm_tsne_with(x, &cbm_o_), CBM_TSNE_DEFAULTS, __VA_ARGS__)
#endif

#endif
