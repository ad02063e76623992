// Sixteen lanes as sixteen plain floats; the fused multiply-add is the C library's.
#pragma once
#define LANE_TARGET

typedef struct {
    float v[16];
} lanes;

LANE_INLINE lanes l_set1(float x) {
    lanes r;
    for (int i = 0; i < 16; i++) r.v[i] = x;
    return r;
}
LANE_INLINE lanes l_load(const float *p) {
    lanes r;
    for (int i = 0; i < 16; i++) r.v[i] = p[i];
    return r;
}
LANE_INLINE void l_store(float *p, lanes a) {
    for (int i = 0; i < 16; i++) p[i] = a.v[i];
}
#define LANE_BINARY(name, expression)                                                                                  \
    LANE_INLINE lanes name(lanes a, lanes b) {                                                                         \
        lanes r;                                                                                                       \
        for (int i = 0; i < 16; i++) {                                                                                 \
            const float x = a.v[i], y = b.v[i];                                                                        \
            r.v[i] = (expression);                                                                                     \
        }                                                                                                              \
        return r;                                                                                                      \
    }
LANE_BINARY(l_add, x + y)
LANE_BINARY(l_sub, x - y)
LANE_BINARY(l_mul, x *y)
LANE_BINARY(l_div, x / y)
LANE_BINARY(l_max, x > y ? x : y)
LANE_BINARY(l_min, x < y ? x : y)
LANE_INLINE lanes l_fma(lanes a, lanes b, lanes c) {
    lanes r;
    for (int i = 0; i < 16; i++) r.v[i] = __builtin_fmaf(a.v[i], b.v[i], c.v[i]);
    return r;
}
LANE_INLINE lanes l_fnma(lanes a, lanes b, lanes c) {
    lanes r;
    for (int i = 0; i < 16; i++) r.v[i] = __builtin_fmaf(-a.v[i], b.v[i], c.v[i]);
    return r;
}
LANE_INLINE lanes l_sqrt(lanes a) {
    lanes r;
    for (int i = 0; i < 16; i++) r.v[i] = __builtin_sqrtf(a.v[i]);
    return r;
}
// x < limit ? 0 : y
LANE_INLINE lanes l_zero_below(lanes x, lanes limit, lanes y) {
    lanes r;
    for (int i = 0; i < 16; i++) r.v[i] = x.v[i] < limit.v[i] ? 0.0f : y.v[i];
    return r;
}
// 2^n where t = n + 1.5 * 2^23
LANE_INLINE lanes l_power_of_two(lanes t) {
    lanes r;
    for (int i = 0; i < 16; i++) {
        uint32_t bits;
        __builtin_memcpy(&bits, &t.v[i], 4);
        bits = (bits + 127u) << 23;
        __builtin_memcpy(&r.v[i], &bits, 4);
    }
    return r;
}

#define TILE_ROWS 4
#define TILE_COLUMNS 16
#define VECTOR_FLOATS 16

LANE_INLINE void pack_transposed(float *out, size_t out_stride, const float *in, size_t in_stride, size_t rows,
                                 size_t k) {
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < k; i++) out[i * out_stride + r] = in[r * in_stride + i];
}

static void tile(size_t k, const float *a, const float *b, size_t b_stride, float *c, size_t ldc, int load) {
    (void)b_stride;
    float sum[TILE_ROWS][TILE_COLUMNS];
    for (int i = 0; i < TILE_ROWS; i++)
        for (int j = 0; j < TILE_COLUMNS; j++) sum[i][j] = load ? c[i * ldc + j] : 0.0f;
    for (size_t p = 0; p < k; p++, a += TILE_ROWS, b += TILE_COLUMNS)
        for (int i = 0; i < TILE_ROWS; i++)
            for (int j = 0; j < TILE_COLUMNS; j++) sum[i][j] = __builtin_fmaf(a[i], b[j], sum[i][j]);
    for (int i = 0; i < TILE_ROWS; i++)
        for (int j = 0; j < TILE_COLUMNS; j++) c[i * ldc + j] = sum[i][j];
}
