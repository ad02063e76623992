// Everything one instruction set provides. The including file defines LANES_HEADER, KERNELS_NAME, KERNELS_TEXT and
// KERNELS_SET.
#include "CKernels.h"

#if !defined(__clang__)
#pragma GCC optimize("fp-contract=off") // GCC ignores the standard's pragma
#endif

#define LANE_INLINE LANE_TARGET static inline __attribute__((always_inline))
#include LANES_HEADER

#include "gemm_body.h"
#include "rows_body.h"

const weft_kernels KERNELS_NAME = {
    .name = KERNELS_TEXT,
    .instruction_set = KERNELS_SET,
    .gemm = gemm,
    .rows_start = rows_start,
    .column_sums = column_sums,
    .add = add,
    .sum = sum,
    .layer_norm = layer_norm,
    .layer_norm_backward = layer_norm_backward,
    .gelu = gelu,
    .gelu_backward = gelu_backward,
    .causal_softmax = causal_softmax,
    .softmax = softmax,
    .attention = attention,
    .attention_backward = attention_backward,
    .cross_entropy = cross_entropy,
    .adamw = adamw,
    .exp = exp_each,
    .log = log_each,
};
