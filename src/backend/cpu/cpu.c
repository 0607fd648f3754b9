/* cpu.c: the CPU backend: its kernels by family, and the reference backend for what they do not serve. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/tuning.h"
#include "backend/lapack/lapack.h"

static const cbm_kernel *const tables[] = {
    cbm_cpu_conv,
    cbm_cpu_matmul,
    cbm_cpu_pool,
    cbm_cpu_norm,
    cbm_cpu_softmax,
    cbm_cpu_reduce,
    cbm_cpu_move,
    cbm_cpu_index,
    cbm_cpu_loss,
    cbm_cpu_recurrent,
    cbm_cpu_adaptive,
    cbm_cpu_resample,
    cbm_cpu_layer_norm,
    cbm_cpu_group_norm,
    cbm_cpu_attention,
    cbm_cpu_pad,
    cbm_cpu_window,
    cbm_cpu_diagonal,
    cbm_cpu_scatter,
    cbm_cpu_select,
    cbm_cpu_sort,
    cbm_cpu_bins,
    cbm_cpu_embedding,
    cbm_cpu_count,
    cbm_cpu_place,
    cbm_cpu_statistics,
    cbm_cpu_order,
    cbm_cpu_scan,
    cbm_cpu_create,
    cbm_lapack_kernels,
    NULL,
};

const cbm_backend cbm_backend_cpu = {
    .name = "cpu",
    .tables = tables,
    .other = cbm_cpu_widened,
    .fallback = &cbm_backend_reference,
    .fused_prepare = cbm_cpu_fused_prepare,
    .fused_run = cbm_cpu_fused_run,
    .fused_run_all = cbm_cpu_fused_run_all,
    .fused_release = cbm_cpu_fused_release,
    .fused_sums = true,
    .reorder = cbm_cpu_reorder,
    .measured = cbm_tuning_text,
    .remember = cbm_tuning_merge,
};
