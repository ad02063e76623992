// Sixteen lanes as two 256-bit registers.
#pragma once
#include <immintrin.h>
#define LANE_TARGET __attribute__((target("avx2,fma")))

typedef struct {
    __m256 lo, hi;
} lanes;

#define LANE_PAIR(name, operation)                                                                                     \
    LANE_INLINE lanes name(lanes a, lanes b) { return (lanes){operation(a.lo, b.lo), operation(a.hi, b.hi)}; }
LANE_INLINE lanes l_set1(float x) { return (lanes){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
LANE_INLINE lanes l_load(const float *p) { return (lanes){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
LANE_INLINE void l_store(float *p, lanes a) {
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}
LANE_PAIR(l_add, _mm256_add_ps)
LANE_PAIR(l_sub, _mm256_sub_ps)
LANE_PAIR(l_mul, _mm256_mul_ps)
LANE_PAIR(l_div, _mm256_div_ps)
LANE_PAIR(l_max, _mm256_max_ps)
LANE_PAIR(l_min, _mm256_min_ps)
LANE_INLINE lanes l_fma(lanes a, lanes b, lanes c) {
    return (lanes){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
LANE_INLINE lanes l_fnma(lanes a, lanes b, lanes c) {
    return (lanes){_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
}
LANE_INLINE lanes l_sqrt(lanes a) { return (lanes){_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
LANE_INLINE lanes l_zero_below(lanes x, lanes limit, lanes y) {
    return (lanes){_mm256_andnot_ps(_mm256_cmp_ps(x.lo, limit.lo, _CMP_LT_OQ), y.lo),
                   _mm256_andnot_ps(_mm256_cmp_ps(x.hi, limit.hi, _CMP_LT_OQ), y.hi)};
}
LANE_INLINE __m256 half_power_of_two(__m256 t) {
    const __m256i bits = _mm256_add_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
}
LANE_INLINE lanes l_power_of_two(lanes t) { return (lanes){half_power_of_two(t.lo), half_power_of_two(t.hi)}; }

#define TILE_ROWS 6
#define TILE_COLUMNS 16
#define VECTOR_FLOATS 8
#include "transpose_avx.h"

// Twelve registers of sums, two of b, one broadcast of a.
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5)
#define START2(i)                                                                                                      \
    __m256 s##i##0 = load ? _mm256_loadu_ps(c + i * ldc) : _mm256_setzero_ps();                                        \
    __m256 s##i##1 = load ? _mm256_loadu_ps(c + i * ldc + 8) : _mm256_setzero_ps();
#define STEP2(i)                                                                                                       \
    {                                                                                                                  \
        const __m256 x = _mm256_set1_ps(a[i]);                                                                         \
        s##i##0 = _mm256_fmadd_ps(x, b0, s##i##0);                                                                     \
        s##i##1 = _mm256_fmadd_ps(x, b1, s##i##1);                                                                     \
    }
#define FINISH2(i)                                                                                                     \
    _mm256_storeu_ps(c + i * ldc, s##i##0);                                                                            \
    _mm256_storeu_ps(c + i * ldc + 8, s##i##1);
#define START1(i) __m256 s##i##0 = load ? _mm256_loadu_ps(c + i * ldc) : _mm256_setzero_ps();
#define STEP1(i) s##i##0 = _mm256_fmadd_ps(_mm256_set1_ps(a[i]), b0, s##i##0);
#define FINISH1(i) _mm256_storeu_ps(c + i * ldc, s##i##0);

LANE_TARGET static void tile2(size_t k, const float *a, const float *b, float *c, size_t ldc, int load) {
    EACH_ROW(START2)
    for (size_t p = 0; p < k; p++, a += 6, b += 16) {
        const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
        EACH_ROW(STEP2)
    }
    EACH_ROW(FINISH2)
}
LANE_TARGET static void tile1(size_t k, const float *a, const float *b, float *c, size_t ldc, int load) {
    EACH_ROW(START1)
    for (size_t p = 0; p < k; p++, a += 6, b += 8) {
        const __m256 b0 = _mm256_loadu_ps(b);
        EACH_ROW(STEP1)
    }
    EACH_ROW(FINISH1)
}
LANE_INLINE void tile(size_t k, const float *a, const float *b, size_t b_stride, float *c, size_t ldc, int load) {
    if (b_stride == 16) tile2(k, a, b, c, ldc, load);
    else tile1(k, a, b, c, ldc, load);
}
