/* nn/network.h: what is done to a whole network: folding, recomputation, a summary by layer. See nn.h for what holds for
   all modules. */
#ifndef CAMBIUM_NN_NETWORK_H
#define CAMBIUM_NN_NETWORK_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

/* For inference: folds every batch norm that directly follows a convolution, and alone does so, into its weights and
   bias: weight gain and (bias - running_mean) gain + bias of the norm, gain = weight of the norm / sqrt(running_var + eps).
   Results stay equal but for rounding. Which norm follows which convolution is seen by recording network on input, which is
   not computed. The network is in evaluation mode afterwards; convolutions without a bias have got one, the norms have lost
   their parameters and cannot train. folded: how many; may be NULL. After an error the network computes what it did. */
CBM_API cbm_status cbm_nn_fold_batch_norm(cbm_module *network, cbm_tensor *input, size_t *folded);

/* Recomputation (Chen et al. 2016, "Training deep nets with sublinear memory cost"): from now on module keeps nothing but
   its input for backward, which records its forward once more, when the gradient of its output is known, and
   differentiates that. Values and gradients are the same (bit for bit where the plan keeps the same layouts): random
   numbers repeat, and variables that the forward assigns (running statistics) change once. Costs another forward; saves
   the memory of what is inside. Returns module, with its parameters' names as they were:
       cbm_sequential(cx, cbm_nn_checkpoint(cx, block1), cbm_nn_checkpoint(cx, block2), CBM_END)
   Modules inside may be checkpointed too. The forward must depend on nothing but its input, its modules and their
   parameters (at most 62 that are trainable), and must not keep tensors past its end. (Not to be confused with
   cbm_checkpoint in io.h, a file.) */
CBM_API cbm_module *cbm_nn_checkpoint(cbm_context *cx, cbm_module *module);

/* A trained classifier of pictures (C, H, W) = picture as a fully convolutional network, which slides over larger ones:
   (N, C, H', W') -> (N, classes, places down, places across), at each place what the classifier gives of the picture there, the
   steps between places being the product of all strides. Linear layers become convolutions, the first with a kernel as large as
   what it sees, the others of 1x1 (Sermanet et al. 2014, "OverFeat"); poolings to one place slide; dropout does nothing. Its other
   layers are the classifier's own, the weights of linear layers are copies. Where layers pad, places see their neighbours instead
   of zeros, so that scores are equal only without padding. The classifier must be a chain of layers (sequentials of them, or a network
   like alexnet); norms over the flattened vector and softmax are errors. The result is in evaluation mode. */
CBM_API cbm_module *cbm_convolutionalize(cbm_module *net, cbm_shape picture);

/* ---- a summary by layer ---- */
typedef struct cbm_summary_row {
    char name[256];           /* "conv1"; "" for the whole network */
    const char *type;         /* "conv2d" */
    cbm_shape input, output;  /* as met on the way */
    int64_t depth;            /* 1: a part of the network, 2: a part of a part */
    int64_t children;         /* 0 for a layer */
    int64_t parameters;       /* elements of all parameters at and below this module */
    int64_t trainable;        /* of them, those that training changes */
    double flops;             /* of one forward of this input */
    int64_t activation_bytes; /* of the output; for containers the sum of the parts */
    double
        multiply_adds; /* of the products among them: of a convolution M K^2 N (D - K + 1)^2, in the lecture's letters */
    double
        backward_flops; /* of the gradients: of a product once for its weight and once for its input, where they are needed */
    /* How many neighbouring places of the picture an element of the output depends on, in each dimension, padding counted in; no
       entries: on all of it. */
    cbm_shape receptive_field;
} cbm_summary_row;
/* Calls row for each module that a forward of input meets, in order of execution (a container after its parts), and last
   with the whole network. Only records; nothing is computed. Stops with an error as cbm_call would. */
CBM_API cbm_status cbm_summary(cbm_module *network, cbm_tensor *input,
                               void (*row)(const cbm_summary_row *row, void *user), void *user);
/* Calls see(name, module, input, output, user) for each module met while network is called on x. Returns the result. */
typedef void (*cbm_watch_fn)(const char *name, cbm_module *module, cbm_tensor *input, cbm_tensor *output, void *user);
CBM_API cbm_tensor *cbm_call_watched(cbm_module *network, cbm_tensor *x, cbm_watch_fn see, void *user);

CBM_END_DECLS

#endif
