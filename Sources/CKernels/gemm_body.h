// The blocked matrix product, included once for each instruction set.
//
// Goto's scheme (Goto and van de Geijn 2008): blocks of b are packed to stay in the outer cache, blocks of a in the
// middle one, and a register tile of TILE_ROWS by TILE_COLUMNS runs over one block of k. The partial sums are stored
// to c after a block of k and loaded again before the next, which loses nothing (they are float32 either way): so every
// element sees exactly the plain loop "for k: c = fma(a, b, c)".
#pragma once

#define BLOCK_K 192 // a panel of b, 48 columns wide, stays in a first cache of 48 KiB
#if TILE_COLUMNS == 48
#define BLOCK_N 480
#else
#define BLOCK_N 528
#endif
#define BLOCK_M (TILE_ROWS == 6 ? 96 : 128)

// Packs rows [0, rows) of op(a) into panels of TILE_ROWS: out[panel][k][TILE_ROWS], missing rows as zeros.
LANE_TARGET static void pack_a(float *out, const float *a, size_t lda, int transposed, size_t rows, size_t k) {
    for (size_t r = 0; r < rows; r += TILE_ROWS, out += TILE_ROWS * k) {
        const size_t count = rows - r < TILE_ROWS ? rows - r : TILE_ROWS;
        if (count < TILE_ROWS) __builtin_memset(out, 0, sizeof(float) * TILE_ROWS * k);
        if (!transposed) {
            pack_transposed(out, TILE_ROWS, a + r * lda, lda, count, k);
        } else if (count == TILE_ROWS) {
            for (size_t i = 0; i < k; i++)
                __builtin_memcpy(out + i * TILE_ROWS, a + i * lda + r, sizeof(float) * TILE_ROWS);
        } else {
            for (size_t i = 0; i < k; i++)
                for (size_t j = 0; j < count; j++) out[i * TILE_ROWS + j] = a[i * lda + r + j];
        }
    }
}

// The stored width of a panel that holds `columns`: whole vectors.
LANE_INLINE size_t panel_width(size_t columns) {
    if (columns >= TILE_COLUMNS) return TILE_COLUMNS;
    return (columns + VECTOR_FLOATS - 1) / VECTOR_FLOATS * VECTOR_FLOATS;
}

// Packs columns [0, columns) of op(b) into panels: out[panel][k][panel_width], missing columns as zeros.
LANE_TARGET static void pack_b(float *out, const float *b, size_t ldb, int transposed, size_t columns, size_t k) {
    for (size_t c = 0; c < columns; c += TILE_COLUMNS) {
        const size_t count = columns - c < TILE_COLUMNS ? columns - c : TILE_COLUMNS;
        const size_t width = panel_width(count);
        if (count < width) __builtin_memset(out, 0, sizeof(float) * width * k);
        if (transposed) {
            pack_transposed(out, width, b + c * ldb, ldb, count, k);
        } else if (count == TILE_COLUMNS) {
            for (size_t i = 0; i < k; i++)
                __builtin_memcpy(out + i * TILE_COLUMNS, b + i * ldb + c, sizeof(float) * TILE_COLUMNS);
        } else {
            for (size_t i = 0; i < k; i++)
                for (size_t j = 0; j < count; j++) out[i * width + j] = b[i * ldb + c + j];
        }
        out += width * k;
    }
}

// A tile that sticks out of c is computed in `spare` and only its inner part copied back.
LANE_TARGET static void edge_tile(float *spare, size_t k, const float *a, const float *b, size_t width, float *c,
                                  size_t ldc, size_t rows, size_t columns, int load) {
    if (load)
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < columns; j++) spare[i * TILE_COLUMNS + j] = c[i * ldc + j];
    tile(k, a, b, width, spare, TILE_COLUMNS, load);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) c[i * ldc + j] = spare[i * TILE_COLUMNS + j];
}

LANE_TARGET static void gemm(float *workspace, size_t m, size_t n, size_t k, const float *a, size_t lda,
                             int transpose_a, const float *b, size_t ldb, int transpose_b, float *c, size_t ldc,
                             int accumulate) {
    if (k == 0 && !accumulate)
        for (size_t i = 0; i < m; i++) __builtin_memset(c + i * ldc, 0, sizeof(float) * n);
    float *spare = (float *)(((uintptr_t)workspace + 63) & ~(uintptr_t)63);
    float *packed_b = spare + TILE_ROWS * TILE_COLUMNS;
    float *packed_a = packed_b + BLOCK_K * 576;
    __builtin_memset(spare, 0, sizeof(float) * TILE_ROWS * TILE_COLUMNS);

    for (size_t column = 0; column < n; column += BLOCK_N) {
        const size_t columns = n - column < BLOCK_N ? n - column : BLOCK_N;
        for (size_t depth = 0; depth < k; depth += BLOCK_K) {
            const size_t steps = k - depth < BLOCK_K ? k - depth : BLOCK_K;
            const int load = accumulate || depth > 0;
            pack_b(packed_b, transpose_b ? b + column * ldb + depth : b + depth * ldb + column, ldb, transpose_b,
                   columns, steps);
            for (size_t row = 0; row < m; row += BLOCK_M) {
                const size_t rows = m - row < BLOCK_M ? m - row : BLOCK_M;
                pack_a(packed_a, transpose_a ? a + depth * lda + row : a + row * lda + depth, lda, transpose_a, rows,
                       steps);
                for (size_t j = 0; j < columns; j += TILE_COLUMNS) {
                    const size_t tile_columns = columns - j < TILE_COLUMNS ? columns - j : TILE_COLUMNS;
                    const size_t width = panel_width(tile_columns);
                    const float *panel = packed_b + j * steps;
                    for (size_t i = 0; i < rows; i += TILE_ROWS) {
                        const size_t tile_rows = rows - i < TILE_ROWS ? rows - i : TILE_ROWS;
                        float *target = c + (row + i) * ldc + column + j;
                        if (tile_rows == TILE_ROWS && tile_columns == width)
                            tile(steps, packed_a + i * steps, panel, width, target, ldc, load);
                        else
                            edge_tile(spare, steps, packed_a + i * steps, panel, width, target, ldc, tile_rows,
                                      tile_columns, load);
                    }
                }
            }
        }
    }
}
