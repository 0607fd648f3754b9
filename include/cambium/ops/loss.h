/* ops/loss.h: losses. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_LOSS_H
#define CAMBIUM_OPS_LOSS_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* Losses, averaged. cross_entropy: logits (N, C) or (N, C, ...), targets i64/i32/u8 class numbers (N) or (N, ...); of
   bf16 logits the loss is f32. */
CBM_API cbm_tensor *cbm_cross_entropy(cbm_tensor *logits, cbm_tensor *targets);
CBM_API cbm_tensor *cbm_mse(cbm_tensor *prediction, cbm_tensor *target);

CBM_END_DECLS

#ifndef CBM_NO_CALL_SITES
#define cbm_cross_entropy(...) cbm_at(cbm_cross_entropy(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_mse(...) cbm_at(cbm_mse(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
