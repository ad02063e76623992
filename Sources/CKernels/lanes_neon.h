// Sixteen lanes as four 128-bit registers.
#pragma once
#include <arm_neon.h>
#define LANE_TARGET

typedef struct {
    float32x4_t v[4];
} lanes;

#define LANE_FOUR(name, expression)                                                                                    \
    LANE_INLINE lanes name(lanes a, lanes b) {                                                                         \
        lanes r;                                                                                                       \
        for (int i = 0; i < 4; i++) {                                                                                  \
            const float32x4_t x = a.v[i], y = b.v[i];                                                                  \
            r.v[i] = (expression);                                                                                     \
        }                                                                                                              \
        return r;                                                                                                      \
    }
LANE_INLINE lanes l_set1(float x) {
    const float32x4_t v = vdupq_n_f32(x);
    return (lanes){{v, v, v, v}};
}
LANE_INLINE lanes l_load(const float *p) {
    return (lanes){{vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}};
}
LANE_INLINE void l_store(float *p, lanes a) {
    for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, a.v[i]);
}
LANE_FOUR(l_add, vaddq_f32(x, y))
LANE_FOUR(l_sub, vsubq_f32(x, y))
LANE_FOUR(l_mul, vmulq_f32(x, y))
LANE_FOUR(l_div, vdivq_f32(x, y))
// By comparison and selection, because vmaxq treats NaN and signed zeros in its own way.
LANE_FOUR(l_max, vbslq_f32(vcgtq_f32(x, y), x, y))
LANE_FOUR(l_min, vbslq_f32(vcltq_f32(x, y), x, y))
LANE_INLINE lanes l_fma(lanes a, lanes b, lanes c) {
    lanes r;
    for (int i = 0; i < 4; i++) r.v[i] = vfmaq_f32(c.v[i], a.v[i], b.v[i]);
    return r;
}
LANE_INLINE lanes l_fnma(lanes a, lanes b, lanes c) {
    lanes r;
    for (int i = 0; i < 4; i++) r.v[i] = vfmsq_f32(c.v[i], a.v[i], b.v[i]);
    return r;
}
LANE_INLINE lanes l_sqrt(lanes a) {
    lanes r;
    for (int i = 0; i < 4; i++) r.v[i] = vsqrtq_f32(a.v[i]);
    return r;
}
LANE_INLINE lanes l_zero_below(lanes x, lanes limit, lanes y) {
    lanes r;
    for (int i = 0; i < 4; i++) r.v[i] = vbslq_f32(vcltq_f32(x.v[i], limit.v[i]), vdupq_n_f32(0.0f), y.v[i]);
    return r;
}
LANE_INLINE lanes l_power_of_two(lanes t) {
    lanes r;
    for (int i = 0; i < 4; i++) {
        const uint32x4_t bits = vaddq_u32(vreinterpretq_u32_f32(t.v[i]), vdupq_n_u32(127));
        r.v[i] = vreinterpretq_f32_u32(vshlq_n_u32(bits, 23));
    }
    return r;
}

#define TILE_ROWS 8
#define TILE_COLUMNS 12
#define VECTOR_FLOATS 4

LANE_INLINE void pack_transposed(float *out, size_t out_stride, const float *in, size_t in_stride, size_t rows,
                                 size_t k) {
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < k; i++) out[i * out_stride + r] = in[r * in_stride + i];
}

// Twenty-four registers of sums, three of b, two of a.
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define START(i)                                                                                                       \
    float32x4_t s##i##0 = load ? vld1q_f32(c + i * ldc) : vdupq_n_f32(0.0f);                                           \
    float32x4_t s##i##1 = load ? vld1q_f32(c + i * ldc + 4) : vdupq_n_f32(0.0f);                                       \
    float32x4_t s##i##2 = load ? vld1q_f32(c + i * ldc + 8) : vdupq_n_f32(0.0f);
#define STEP(i)                                                                                                        \
    s##i##0 = vfmaq_laneq_f32(s##i##0, b0, i < 4 ? a0 : a1, i & 3);                                                    \
    s##i##1 = vfmaq_laneq_f32(s##i##1, b1, i < 4 ? a0 : a1, i & 3);                                                    \
    s##i##2 = vfmaq_laneq_f32(s##i##2, b2, i < 4 ? a0 : a1, i & 3);
#define FINISH(i)                                                                                                      \
    vst1q_f32(c + i * ldc, s##i##0);                                                                                   \
    vst1q_f32(c + i * ldc + 4, s##i##1);                                                                               \
    vst1q_f32(c + i * ldc + 8, s##i##2);

static void tile12(size_t k, const float *a, const float *b, float *c, size_t ldc, int load) {
    EACH_ROW(START)
    for (size_t p = 0; p < k; p++, a += 8, b += 12) {
        const float32x4_t a0 = vld1q_f32(a), a1 = vld1q_f32(a + 4);
        const float32x4_t b0 = vld1q_f32(b), b1 = vld1q_f32(b + 4), b2 = vld1q_f32(b + 8);
        EACH_ROW(STEP)
    }
    EACH_ROW(FINISH)
}
// The right edge: one or two vectors of columns.
static void tile_edge(size_t k, const float *a, const float *b, size_t b_stride, float *c, size_t ldc, int load) {
    for (size_t i = 0; i < 8; i++)
        for (size_t j = 0; j < b_stride; j += 4) {
            float32x4_t sum = load ? vld1q_f32(c + i * ldc + j) : vdupq_n_f32(0.0f);
            for (size_t p = 0; p < k; p++) sum = vfmaq_n_f32(sum, vld1q_f32(b + p * b_stride + j), a[p * 8 + i]);
            vst1q_f32(c + i * ldc + j, sum);
        }
}
LANE_INLINE void tile(size_t k, const float *a, const float *b, size_t b_stride, float *c, size_t ldc, int load) {
    if (b_stride == 12) tile12(k, a, b, c, ldc, load);
    else tile_edge(k, a, b, b_stride, c, ldc, load);
}
