// Kernels that only move or add whole rows, and the counter-based numbers: the same code on every machine.
#pragma STDC FP_CONTRACT OFF

#include "CKernels.h"

void weft_embed(float *out, const int32_t *tokens, const float *token_table, const float *position_table, size_t batch,
                size_t time, size_t width) {
    for (size_t b = 0; b < batch; b++)
        for (size_t t = 0; t < time; t++) {
            const float *token = token_table + (size_t)tokens[b * time + t] * width;
            const float *position = position_table + t * width;
            float *row = out + (b * time + t) * width;
            for (size_t i = 0; i < width; i++) row[i] = token[i] + position[i];
        }
}

void weft_embed_backward(float *dtoken_table, float *dposition_table, const int32_t *tokens, const float *dout,
                         size_t batch, size_t time, size_t width) {
    for (size_t b = 0; b < batch; b++)
        for (size_t t = 0; t < time; t++) {
            float *token = dtoken_table + (size_t)tokens[b * time + t] * width;
            float *position = dposition_table + t * width;
            const float *row = dout + (b * time + t) * width;
            for (size_t i = 0; i < width; i++) {
                token[i] = token[i] + row[i];
                position[i] = position[i] + row[i];
            }
        }
}

// Output number `index` of SplitMix64 (Steele, Lea and Flood 2014) started at `key`.
static uint64_t split_mix(uint64_t key, uint64_t index) {
    uint64_t x = key + (index + 1) * 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

void weft_fill_normal(float *out, uint64_t key, float deviation, size_t first, size_t count) {
    // A 16-bit uniform number has variance (65536^2 - 1) / 12, so twelve of them sum to a deviation of 65536.
    const float unit = deviation * 0x1p-16f;
    for (size_t i = 0; i < count; i++) {
        int32_t sum = -12 * 65535 / 2;
        for (uint64_t j = 0; j < 3; j++) {
            const uint64_t x = split_mix(key, 3 * (uint64_t)(first + i) + j);
            sum += (int32_t)(x & 0xFFFF) + (int32_t)((x >> 16) & 0xFFFF) + (int32_t)((x >> 32) & 0xFFFF)
                   + (int32_t)(x >> 48);
        }
        out[i] = (float)sum * unit;
    }
}
