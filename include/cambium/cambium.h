/* cambium.h: all of Cambium's public headers, one a subject. */
#ifndef CAMBIUM_CAMBIUM_H
#define CAMBIUM_CAMBIUM_H

#include <cambium/common.h>
#include <cambium/context.h>
#include <cambium/tensor.h>
#include <cambium/dlpack.h>
#include <cambium/operation.h>
#include <cambium/plan.h>
#include <cambium/ops.h>
#include <cambium/autograd.h>
#include <cambium/nn.h>
#include <cambium/networks.h>
#include <cambium/optim.h>
#include <cambium/schedule.h>
#include <cambium/average.h>
#include <cambium/data.h>
#include <cambium/transforms.h>
#include <cambium/io.h>
#include <cambium/table.h>
#include <cambium/look.h>
#include <cambium/train.h>
#include <cambium/session.h>

#endif
