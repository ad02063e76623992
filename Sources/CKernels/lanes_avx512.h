// Sixteen lanes as one 512-bit register.
#pragma once
#include <immintrin.h>
#define LANE_TARGET __attribute__((target("avx512f,fma")))

typedef __m512 lanes;

LANE_INLINE lanes l_set1(float x) { return _mm512_set1_ps(x); }
LANE_INLINE lanes l_load(const float *p) { return _mm512_loadu_ps(p); }
LANE_INLINE void l_store(float *p, lanes a) { _mm512_storeu_ps(p, a); }
LANE_INLINE lanes l_add(lanes a, lanes b) { return _mm512_add_ps(a, b); }
LANE_INLINE lanes l_sub(lanes a, lanes b) { return _mm512_sub_ps(a, b); }
LANE_INLINE lanes l_mul(lanes a, lanes b) { return _mm512_mul_ps(a, b); }
LANE_INLINE lanes l_div(lanes a, lanes b) { return _mm512_div_ps(a, b); }
LANE_INLINE lanes l_max(lanes a, lanes b) { return _mm512_max_ps(a, b); }
LANE_INLINE lanes l_min(lanes a, lanes b) { return _mm512_min_ps(a, b); }
LANE_INLINE lanes l_fma(lanes a, lanes b, lanes c) { return _mm512_fmadd_ps(a, b, c); }
LANE_INLINE lanes l_fnma(lanes a, lanes b, lanes c) { return _mm512_fnmadd_ps(a, b, c); }
LANE_INLINE lanes l_sqrt(lanes a) { return _mm512_sqrt_ps(a); }
LANE_INLINE lanes l_zero_below(lanes x, lanes limit, lanes y) {
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, limit, _CMP_LT_OQ), _mm512_setzero_ps());
}
LANE_INLINE lanes l_power_of_two(lanes t) {
    const __m512i bits = _mm512_add_epi32(_mm512_castps_si512(t), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 23));
}

#define TILE_ROWS 8
#define TILE_COLUMNS 48
#define VECTOR_FLOATS 16
#include "transpose_avx.h"

// The accumulators are named one by one: 24 registers of sums, three of b, the broadcast of a from memory.
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define START3(i)                                                                                                      \
    __m512 s##i##0 = load ? _mm512_loadu_ps(c + i * ldc) : _mm512_setzero_ps();                                        \
    __m512 s##i##1 = load ? _mm512_loadu_ps(c + i * ldc + 16) : _mm512_setzero_ps();                                   \
    __m512 s##i##2 = load ? _mm512_loadu_ps(c + i * ldc + 32) : _mm512_setzero_ps();
#define STEP3(i)                                                                                                       \
    {                                                                                                                  \
        const __m512 x = _mm512_set1_ps(a[i]);                                                                         \
        s##i##0 = _mm512_fmadd_ps(x, b0, s##i##0);                                                                     \
        s##i##1 = _mm512_fmadd_ps(x, b1, s##i##1);                                                                     \
        s##i##2 = _mm512_fmadd_ps(x, b2, s##i##2);                                                                     \
    }
#define FINISH3(i)                                                                                                     \
    _mm512_storeu_ps(c + i * ldc, s##i##0);                                                                            \
    _mm512_storeu_ps(c + i * ldc + 16, s##i##1);                                                                       \
    _mm512_storeu_ps(c + i * ldc + 32, s##i##2);
#define START2(i)                                                                                                      \
    __m512 s##i##0 = load ? _mm512_loadu_ps(c + i * ldc) : _mm512_setzero_ps();                                        \
    __m512 s##i##1 = load ? _mm512_loadu_ps(c + i * ldc + 16) : _mm512_setzero_ps();
#define STEP2(i)                                                                                                       \
    {                                                                                                                  \
        const __m512 x = _mm512_set1_ps(a[i]);                                                                         \
        s##i##0 = _mm512_fmadd_ps(x, b0, s##i##0);                                                                     \
        s##i##1 = _mm512_fmadd_ps(x, b1, s##i##1);                                                                     \
    }
#define FINISH2(i)                                                                                                     \
    _mm512_storeu_ps(c + i * ldc, s##i##0);                                                                            \
    _mm512_storeu_ps(c + i * ldc + 16, s##i##1);
#define START1(i) __m512 s##i##0 = load ? _mm512_loadu_ps(c + i * ldc) : _mm512_setzero_ps();
#define STEP1(i) s##i##0 = _mm512_fmadd_ps(_mm512_set1_ps(a[i]), b0, s##i##0);
#define FINISH1(i) _mm512_storeu_ps(c + i * ldc, s##i##0);

LANE_TARGET static void tile3(size_t k, const float *a, const float *b, float *c, size_t ldc, int load) {
    EACH_ROW(START3)
    for (size_t p = 0; p < k; p++, a += 8, b += 48) {
        const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16), b2 = _mm512_loadu_ps(b + 32);
        EACH_ROW(STEP3)
    }
    EACH_ROW(FINISH3)
}
LANE_TARGET static void tile2(size_t k, const float *a, const float *b, float *c, size_t ldc, int load) {
    EACH_ROW(START2)
    for (size_t p = 0; p < k; p++, a += 8, b += 32) {
        const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
        EACH_ROW(STEP2)
    }
    EACH_ROW(FINISH2)
}
LANE_TARGET static void tile1(size_t k, const float *a, const float *b, float *c, size_t ldc, int load) {
    EACH_ROW(START1)
    for (size_t p = 0; p < k; p++, a += 8, b += 16) {
        const __m512 b0 = _mm512_loadu_ps(b);
        EACH_ROW(STEP1)
    }
    EACH_ROW(FINISH1)
}
LANE_INLINE void tile(size_t k, const float *a, const float *b, size_t b_stride, float *c, size_t ldc, int load) {
    if (b_stride == 48) tile3(k, a, b, c, ldc, load);
    else if (b_stride == 32) tile2(k, a, b, c, ldc, load);
    else tile1(k, a, b, c, ldc, load);
}
