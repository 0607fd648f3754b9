/* ops.h: the operations on tensors, one header a family. Each records a node and returns at once; see docs/reference for
   values and gradients. Binary operations broadcast like NumPy; both operands have the same dtype unless said otherwise;
   beside bf16, arithmetic and comparisons also take an f32 scalar (without dimensions), and the result is bf16, but f32 if
   neither operand has dimensions (so too of a bf16 scalar and a number, as in cbm_mul_scalar). An axis may be negative,
   counting from the end. On error the result is a failed tensor and the context keeps the message.

   Each operation's name is also a macro that stamps the caller's file and line on its result. The plain functions stay for
   function pointers, `(cbm_relu)(x)` and other languages. CBM_NO_CALL_SITES switches the macros off. */
#ifndef CAMBIUM_OPS_H
#define CAMBIUM_OPS_H

#include <cambium/ops/elementwise.h>
#include <cambium/ops/activation.h>
#include <cambium/ops/reduce.h>
#include <cambium/ops/linalg.h>
#include <cambium/ops/move.h>
#include <cambium/ops/index.h>
#include <cambium/ops/sort.h>
#include <cambium/ops/embedding.h>
#include <cambium/ops/conv.h>
#include <cambium/ops/create.h>
#include <cambium/ops/pool.h>
#include <cambium/ops/norm.h>
#include <cambium/ops/image.h>
#include <cambium/ops/loss.h>
#include <cambium/ops/random.h>
#include <cambium/ops/recurrent.h>
#include <cambium/ops/attention.h>

#endif
