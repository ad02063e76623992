// Packing rows into columns with 8-by-8 transposes in 256-bit registers.
#pragma once

// out[i * out_stride + r] = in[r * in_stride + i] for r < 8, i < 8. Writes eight floats a row of out, in rising order.
LANE_INLINE void transpose_8x8(float *out, size_t out_stride, const float *in, size_t in_stride, size_t rows) {
    __m256 r[8];
    for (size_t i = 0; i < 8; i++) r[i] = i < rows ? _mm256_loadu_ps(in + i * in_stride) : _mm256_setzero_ps();
    const __m256 t0 = _mm256_unpacklo_ps(r[0], r[1]), t1 = _mm256_unpackhi_ps(r[0], r[1]);
    const __m256 t2 = _mm256_unpacklo_ps(r[2], r[3]), t3 = _mm256_unpackhi_ps(r[2], r[3]);
    const __m256 t4 = _mm256_unpacklo_ps(r[4], r[5]), t5 = _mm256_unpackhi_ps(r[4], r[5]);
    const __m256 t6 = _mm256_unpacklo_ps(r[6], r[7]), t7 = _mm256_unpackhi_ps(r[6], r[7]);
    const __m256 u0 = _mm256_shuffle_ps(t0, t2, 0x44), u1 = _mm256_shuffle_ps(t0, t2, 0xEE);
    const __m256 u2 = _mm256_shuffle_ps(t1, t3, 0x44), u3 = _mm256_shuffle_ps(t1, t3, 0xEE);
    const __m256 u4 = _mm256_shuffle_ps(t4, t6, 0x44), u5 = _mm256_shuffle_ps(t4, t6, 0xEE);
    const __m256 u6 = _mm256_shuffle_ps(t5, t7, 0x44), u7 = _mm256_shuffle_ps(t5, t7, 0xEE);
    _mm256_storeu_ps(out, _mm256_permute2f128_ps(u0, u4, 0x20));
    _mm256_storeu_ps(out + out_stride, _mm256_permute2f128_ps(u1, u5, 0x20));
    _mm256_storeu_ps(out + 2 * out_stride, _mm256_permute2f128_ps(u2, u6, 0x20));
    _mm256_storeu_ps(out + 3 * out_stride, _mm256_permute2f128_ps(u3, u7, 0x20));
    _mm256_storeu_ps(out + 4 * out_stride, _mm256_permute2f128_ps(u0, u4, 0x31));
    _mm256_storeu_ps(out + 5 * out_stride, _mm256_permute2f128_ps(u1, u5, 0x31));
    _mm256_storeu_ps(out + 6 * out_stride, _mm256_permute2f128_ps(u2, u6, 0x31));
    _mm256_storeu_ps(out + 7 * out_stride, _mm256_permute2f128_ps(u3, u7, 0x31));
}

// out[i * out_stride + r] = in[r * in_stride + i] for r < rows, i < k. May write up to eight floats from each
// out + i * out_stride + 8j, in rising order of i, so that a stride of six overwrites its own spill; the caller's
// buffer has eight floats of slack and zeroes what lies beyond `rows` afterwards if it matters.
LANE_INLINE void pack_transposed(float *out, size_t out_stride, const float *in, size_t in_stride, size_t rows,
                                 size_t k) {
    for (size_t r = 0; r < rows; r += 8) {
        const size_t block = rows - r < 8 ? rows - r : 8;
        size_t i = 0;
        if (block == 8 || out_stride == TILE_ROWS)
            for (; i + 8 <= k; i += 8)
                transpose_8x8(out + i * out_stride + r, out_stride, in + r * in_stride + i, in_stride, block);
        for (; i < k; i++)
            for (size_t j = 0; j < block; j++) out[i * out_stride + r + j] = in[(r + j) * in_stride + i];
    }
}
