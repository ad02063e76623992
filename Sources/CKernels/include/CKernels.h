// Reproducible vector kernels: the same bits on every instruction set.
//
// The rules that make the bits independent of vector width, blocking and machine:
//   * A matrix product accumulates every output element in plain order over k with one fused multiply-add per term.
//   * A reduction keeps 16 partial sums (element i goes to sum i mod 16, in order of i) and joins them by one fixed
//     tree: sum j with sum j+8, then j+4, j+2, j+1.
//   * A sum over rows (bias gradients, gains) runs in plain order over the rows.
//   * exp and log are polynomials over correctly rounded operations; square root and division are IEEE's own.
//   * No contraction and no reassociation by the compiler (FP_CONTRACT OFF; never build with -ffast-math).
// Equal bits are promised for results that are not NaN.
//
// All matrices are row-major float32. Pointers need no alignment. No function allocates, fails or keeps state.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#define WEFT_NULLABLE _Nullable
#else
#define WEFT_NULLABLE
#endif

/// Instruction sets, from the plainest to the widest.
typedef enum weft_instruction_set {
    WEFT_SCALAR = 0,
    WEFT_NEON = 1,
    WEFT_AVX2 = 2,
    WEFT_AVX512 = 3,
} weft_instruction_set;

/// Floats of scratch memory that `gemm` and the attention kernels need.
#define WEFT_WORKSPACE_FLOATS ((size_t)(192 * 576 + 192 * 192 + 16 * 64 + 64))
static inline size_t weft_workspace_floats(void) { return WEFT_WORKSPACE_FLOATS; }

/// The constants of one AdamW step, already combined (see `adamw`).
typedef struct weft_adamw_step {
    float gradient_scale;  // multiplies every gradient, e.g. 1 / micro-batches
    float beta1, one_minus_beta1;
    float beta2, one_minus_beta2;
    float step_size;            // learning rate / (1 - beta1^t)
    float root_bias_correction; // sqrt(1 - beta2^t)
    float epsilon;
    float decay; // 1 - learning rate * weight decay; 1 leaves the weights alone
} weft_adamw_step;

/// One implementation of every kernel.
typedef struct weft_kernels {
    const char *name;
    weft_instruction_set instruction_set;

    /// c[m,n] = (accumulate ? c : 0) + op(a)[m,k] op(b)[k,n]; a is stored k-by-m if `transpose_a`, b n-by-k if
    /// `transpose_b`; lda, ldb, ldc are the distances between stored rows. Each element runs over k in plain order.
    void (*gemm)(float *workspace, size_t m, size_t n, size_t k, const float *a, size_t lda, int transpose_a,
                 const float *b, size_t ldb, int transpose_b, float *c, size_t ldc, int accumulate);

    /// out[r,:] = (x ? x[r,:] : 0) + bias: the start value for a product with bias (and residual).
    void (*rows_start)(float *out, const float *WEFT_NULLABLE x, const float *bias, size_t rows, size_t width);
    /// sums[c] += sum over rows of x[r,c], in plain order over the rows.
    void (*column_sums)(float *sums, const float *x, size_t rows, size_t width);
    /// a[i] += b[i]
    void (*add)(float *a, const float *b, size_t count);
    /// Sum of x by the 16-lane tree.
    float (*sum)(const float *x, size_t count);

    /// Layer norm over rows: out = (x - mean) * rstd * gain + bias with epsilon 1e-5; mean and rstd are kept per row.
    void (*layer_norm)(float *out, float *mean, float *rstd, const float *x, const float *gain, const float *bias,
                       size_t rows, size_t width);
    /// Adds to dx[rows,width], dgain[width], dbias[width].
    void (*layer_norm_backward)(float *dx, float *dgain, float *dbias, const float *dout, const float *x,
                                const float *mean, const float *rstd, const float *gain, size_t rows, size_t width);

    /// GELU in its tanh form, computed as x / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3).
    void (*gelu)(float *out, const float *x, size_t count);
    /// dx = dout * gelu'(x); dx may be dout.
    void (*gelu_backward)(float *dx, const float *dout, const float *x, size_t count);

    /// Row r of the n-by-n matrix becomes softmax(scale * row[0...r]) followed by zeros.
    void (*causal_softmax)(float *scores, size_t n, float scale);
    /// softmax(scale * x) of one row, in place.
    void (*softmax)(float *x, size_t count, float scale);

    /// Causal multi-head attention. qkv[batch*time, 3*width]; probabilities[batch, heads, time, time] are kept for the
    /// backward pass; out[batch*time, width].
    void (*attention)(float *workspace, float *out, float *probabilities, const float *qkv, size_t batch, size_t time,
                      size_t heads, size_t width);
    /// Overwrites dqkv. `scratch` holds time*time floats.
    void (*attention_backward)(float *workspace, float *scratch, float *dqkv, const float *dout,
                               const float *probabilities, const float *qkv, size_t batch, size_t time, size_t heads,
                               size_t width);

    /// losses[r] = -log softmax(logits[r])[targets[r]]; dlogits = (softmax - onehot) * scale; dlogits may be logits.
    void (*cross_entropy)(float *losses, float *dlogits, const float *logits, const int32_t *targets, size_t rows,
                          size_t vocabulary, float scale);

    /// One AdamW step (Loshchilov and Hutter 2019) with decoupled decay, in PyTorch's order of operations:
    /// g = gradient * scale; m = beta1 m + (1-beta1) g; v = beta2 v + (1-beta2) g g;
    /// w = w * decay - step_size * m / (sqrt(v) / root_bias_correction + epsilon).
    void (*adamw)(float *weights, float *m, float *v, const float *gradients, size_t count,
                  const weft_adamw_step *step);

    /// exp and log of each element, for tests and for sampling. exp is 0 below -87 and saturates above 88.37;
    /// log is meant for positive normal numbers.
    void (*exp)(float *out, const float *x, size_t count);
    void (*log)(float *out, const float *x, size_t count);
} weft_kernels;

/// The kernels of one instruction set, or null where the machine (or the compiler's target) does not have it.
const weft_kernels *WEFT_NULLABLE weft_kernels_for(weft_instruction_set instruction_set);

/// The widest kernels this machine can run; never null.
const weft_kernels *weft_kernels_best(void);

/// out[r,:] = token_table[tokens[r],:] + position_table[r mod time,:]
void weft_embed(float *out, const int32_t *tokens, const float *token_table, const float *position_table, size_t batch,
                size_t time, size_t width);
/// Adds dout to the rows of the tables it came from, in plain order over the rows.
void weft_embed_backward(float *dtoken_table, float *dposition_table, const int32_t *tokens, const float *dout,
                         size_t batch, size_t time, size_t width);

/// Approximately normal numbers from a counter: element i is the centred sum of twelve 16-bit uniform numbers (the
/// three SplitMix64 outputs 3i, 3i+1, 3i+2 of `key`) times `deviation`. Exact integers until the one rounding at the
/// end, so the bits are the same everywhere and element i does not depend on its neighbours.
void weft_fill_normal(float *out, uint64_t key, float deviation, size_t first, size_t count);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif
