/* nn.h: modules: layers, containers and a user's own networks, one header a subject. Makers never return NULL: after an
   error the module is an inert one and the context keeps the reason. Layers have PyTorch's names, arguments, parameter
   names and initial values, the latter drawn from the context's random numbers. cbm_nn_NAME(cx, ..., .option = value) is
   a macro on cbm_nn_NAME_with(cx, ..., &options), which other languages call. */
#ifndef CAMBIUM_NN_H
#define CAMBIUM_NN_H

#include <cambium/nn/module.h>
#include <cambium/nn/linear.h>
#include <cambium/nn/conv.h>
#include <cambium/nn/pool.h>
#include <cambium/nn/norm.h>
#include <cambium/nn/embedding.h>
#include <cambium/nn/recurrent.h>
#include <cambium/nn/attention.h>
#include <cambium/nn/dropout.h>
#include <cambium/nn/activation.h>
#include <cambium/nn/shape.h>
#include <cambium/nn/image.h>
#include <cambium/nn/container.h>
#include <cambium/nn/init.h>
#include <cambium/nn/reparametrise.h>
#include <cambium/nn/network.h>

#endif
