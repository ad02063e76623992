// Elementwise and row-wise kernels, included once for each instruction set.
#pragma once

// The first `count` < 16 of 16 lanes; the others hold `fill`.
LANE_INLINE lanes l_load_part(const float *p, size_t count, float fill) {
    float all[16];
    for (size_t i = 0; i < 16; i++) all[i] = i < count ? p[i] : fill;
    return l_load(all);
}
LANE_INLINE void l_store_part(float *p, lanes a, size_t count) {
    float all[16];
    l_store(all, a);
    for (size_t i = 0; i < count; i++) p[i] = all[i];
}
LANE_INLINE lanes l_load_at(const float *p, size_t i, size_t count, float fill) {
    return i + 16 <= count ? l_load(p + i) : l_load_part(p + i, count - i, fill);
}
LANE_INLINE void l_store_at(float *p, lanes a, size_t i, size_t count) {
    if (i + 16 <= count) l_store(p + i, a);
    else l_store_part(p + i, a, count - i);
}

// Joins 16 partial results by the fixed tree.
LANE_INLINE float l_total(lanes a) {
    float v[16];
    l_store(v, a);
    for (int j = 0; j < 8; j++) v[j] = v[j] + v[j + 8];
    for (int j = 0; j < 4; j++) v[j] = v[j] + v[j + 4];
    for (int j = 0; j < 2; j++) v[j] = v[j] + v[j + 2];
    return v[0] + v[1];
}
LANE_INLINE float l_greatest(lanes a) {
    float v[16];
    l_store(v, a);
    for (int step = 8; step > 0; step /= 2)
        for (int j = 0; j < step; j++) v[j] = v[j] > v[j + step] ? v[j] : v[j + step];
    return v[0];
}

// exp by 2^n times a polynomial of degree 6 on [-ln2/2, ln2/2] (coefficients: Cephes expf, Moshier). Below -87 it is 0, so
// no result is subnormal; above 88.37 it saturates. A NaN stays a NaN.
LANE_INLINE lanes l_exp(lanes x) {
    const lanes magic = l_set1(12582912.0f); // 1.5 * 2^23: adding it rounds to the nearest integer
    const lanes bounded = l_min(l_set1(88.3762589f), x);
    const lanes shifted = l_fma(bounded, l_set1(1.44269502f), magic);
    const lanes n = l_sub(shifted, magic);
    lanes r = l_fnma(n, l_set1(0.693359375f), bounded);
    r = l_fnma(n, l_set1(-2.12194440e-4f), r);
    lanes p = l_set1(1.9875691500e-4f);
    p = l_fma(p, r, l_set1(1.3981999507e-3f));
    p = l_fma(p, r, l_set1(8.3334519073e-3f));
    p = l_fma(p, r, l_set1(4.1665795894e-2f));
    p = l_fma(p, r, l_set1(1.6666665459e-1f));
    p = l_fma(p, r, l_set1(5.0000001201e-1f));
    p = l_add(l_fma(p, l_mul(r, r), r), l_set1(1.0f));
    return l_zero_below(x, l_set1(-87.0f), l_mul(p, l_power_of_two(shifted)));
}

// log of a positive normal number: exponent and a polynomial on [sqrt(1/2), sqrt(2)) (coefficients: Cephes logf). Infinity
// and NaN come back as they are, zero as -infinity, so that a loss that blew up cannot look healthy.
LANE_TARGET static float log_one(float x) {
    if (!(x < __builtin_inff())) return x;
    if (!(x > 0.0f)) return x == 0.0f ? -__builtin_inff() : __builtin_nanf("");
    uint32_t bits;
    __builtin_memcpy(&bits, &x, 4);
    int32_t exponent = (int32_t)(bits >> 23) - 126;
    bits = (bits & 0x007FFFFFu) | 0x3F000000u; // mantissa in [1/2, 1)
    float m;
    __builtin_memcpy(&m, &bits, 4);
    if (m < 0.707106769f) {
        exponent -= 1;
        m = m + m;
    }
    const float f = m - 1.0f, z = f * f, e = (float)exponent;
    float p = 7.0376836292e-2f;
    p = __builtin_fmaf(p, f, -1.1514610310e-1f);
    p = __builtin_fmaf(p, f, 1.1676998740e-1f);
    p = __builtin_fmaf(p, f, -1.2420140846e-1f);
    p = __builtin_fmaf(p, f, 1.4249322787e-1f);
    p = __builtin_fmaf(p, f, -1.6668057665e-1f);
    p = __builtin_fmaf(p, f, 2.0000714765e-1f);
    p = __builtin_fmaf(p, f, -2.4999993993e-1f);
    p = __builtin_fmaf(p, f, 3.3333331174e-1f);
    float y = f * z * p;
    y = __builtin_fmaf(e, -2.12194440e-4f, y);
    y = __builtin_fmaf(-0.5f, z, y);
    return __builtin_fmaf(e, 0.693359375f, f + y);
}

LANE_TARGET static void exp_each(float *out, const float *x, size_t count) {
    for (size_t i = 0; i < count; i += 16) l_store_at(out, l_exp(l_load_at(x, i, count, 0.0f)), i, count);
}
LANE_TARGET static void log_each(float *out, const float *x, size_t count) {
    for (size_t i = 0; i < count; i++) out[i] = log_one(x[i]);
}

LANE_TARGET static void rows_start(float *out, const float *x, const float *bias, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++) {
        float *o = out + r * width;
        if (!x) {
            __builtin_memcpy(o, bias, sizeof(float) * width);
            continue;
        }
        for (size_t i = 0; i < width; i += 16)
            l_store_at(o, l_add(l_load_at(x + r * width, i, width, 0.0f), l_load_at(bias, i, width, 0.0f)), i, width);
    }
}
LANE_TARGET static void add(float *a, const float *b, size_t count) {
    for (size_t i = 0; i < count; i += 16)
        l_store_at(a, l_add(l_load_at(a, i, count, 0.0f), l_load_at(b, i, count, 0.0f)), i, count);
}
LANE_TARGET static void column_sums(float *sums, const float *x, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++) add(sums, x + r * width, width);
}
LANE_TARGET static float sum(const float *x, size_t count) {
    lanes total = l_set1(0.0f);
    for (size_t i = 0; i < count; i += 16) total = l_add(total, l_load_at(x, i, count, 0.0f));
    return l_total(total);
}

LANE_TARGET static void layer_norm(float *out, float *mean, float *rstd, const float *x, const float *gain,
                                   const float *bias, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++) {
        const float *in = x + r * width;
        const float average = sum(in, width) / (float)width;
        const lanes centre = l_set1(average);
        lanes squares = l_set1(0.0f);
        for (size_t i = 0; i < width; i += 16) {
            // The fill makes the missing lanes' difference zero.
            const lanes d = l_sub(l_load_at(in, i, width, average), centre);
            squares = l_fma(d, d, squares);
        }
        const float variance = l_total(squares) / (float)width;
        const float inverse = 1.0f / __builtin_sqrtf(variance + 1e-5f);
        const lanes scale = l_set1(inverse);
        for (size_t i = 0; i < width; i += 16) {
            const lanes normal = l_mul(l_sub(l_load_at(in, i, width, 0.0f), centre), scale);
            l_store_at(out + r * width,
                       l_fma(normal, l_load_at(gain, i, width, 0.0f), l_load_at(bias, i, width, 0.0f)), i, width);
        }
        mean[r] = average;
        rstd[r] = inverse;
    }
}

LANE_TARGET static void layer_norm_backward(float *dx, float *dgain, float *dbias, const float *dout, const float *x,
                                            const float *mean, const float *rstd, const float *gain, size_t rows,
                                            size_t width) {
    for (size_t r = 0; r < rows; r++) {
        const float *in = x + r * width, *d = dout + r * width;
        const lanes centre = l_set1(mean[r]), scale = l_set1(rstd[r]);
        lanes sum_d = l_set1(0.0f), sum_dn = l_set1(0.0f);
        for (size_t i = 0; i < width; i += 16) {
            const lanes normal = l_mul(l_sub(l_load_at(in, i, width, mean[r]), centre), scale);
            const lanes out = l_load_at(d, i, width, 0.0f);
            const lanes dn = l_mul(out, l_load_at(gain, i, width, 0.0f));
            sum_d = l_add(sum_d, dn);
            sum_dn = l_fma(dn, normal, sum_dn);
            l_store_at(dgain, l_fma(out, normal, l_load_at(dgain, i, width, 0.0f)), i, width);
            l_store_at(dbias, l_add(out, l_load_at(dbias, i, width, 0.0f)), i, width);
        }
        const lanes mean_d = l_set1(l_total(sum_d) / (float)width), mean_dn = l_set1(l_total(sum_dn) / (float)width);
        for (size_t i = 0; i < width; i += 16) {
            const lanes normal = l_mul(l_sub(l_load_at(in, i, width, 0.0f), centre), scale);
            const lanes dn = l_mul(l_load_at(d, i, width, 0.0f), l_load_at(gain, i, width, 0.0f));
            const lanes inner = l_fnma(normal, mean_dn, l_sub(dn, mean_d));
            l_store_at(dx + r * width, l_fma(inner, scale, l_load_at(dx + r * width, i, width, 0.0f)), i, width);
        }
    }
}

// sigma(2u) with u = sqrt(2/pi) (x + 0.044715 x^3); GELU's tanh form is x times it.
LANE_INLINE lanes gelu_gate(lanes x) {
    const lanes cube = l_mul(l_mul(x, x), x);
    const lanes inner = l_fma(l_set1(0.044715f), cube, x);
    const lanes e = l_exp(l_mul(l_set1(-1.59576912f), inner)); // -2 sqrt(2/pi)
    return l_div(l_set1(1.0f), l_add(l_set1(1.0f), e));
}
LANE_TARGET static void gelu(float *out, const float *x, size_t count) {
    for (size_t i = 0; i < count; i += 16) {
        const lanes v = l_load_at(x, i, count, 0.0f);
        l_store_at(out, l_mul(v, gelu_gate(v)), i, count);
    }
}
LANE_TARGET static void gelu_backward(float *dx, const float *dout, const float *x, size_t count) {
    for (size_t i = 0; i < count; i += 16) {
        const lanes v = l_load_at(x, i, count, 0.0f);
        const lanes gate = gelu_gate(v);
        // d(2u)/dx = 2 sqrt(2/pi) (1 + 3 * 0.044715 x^2); the gate's derivative is gate (1 - gate) times it.
        const lanes slope = l_fma(l_set1(0.214070857f), l_mul(v, v), l_set1(1.59576912f));
        const lanes curve = l_mul(l_mul(gate, l_sub(l_set1(1.0f), gate)), slope);
        const lanes derivative = l_fma(v, curve, gate);
        l_store_at(dx, l_mul(l_load_at(dout, i, count, 0.0f), derivative), i, count);
    }
}

LANE_TARGET static void softmax(float *x, size_t count, float scale) {
    const lanes factor = l_set1(scale);
    lanes top = l_set1(-__builtin_inff());
    for (size_t i = 0; i < count; i += 16)
        // A missing lane repeats the row's first element, which cannot change the maximum.
        top = l_max(top, l_mul(l_load_at(x, i, count, x[0]), factor));
    const float greatest = l_greatest(top);
    const lanes shift = l_set1(greatest);
    lanes total = l_set1(0.0f);
    for (size_t i = 0; i < count; i += 16) {
        const lanes e = l_exp(l_sub(l_mul(l_load_at(x, i, count, 0.0f), factor), shift));
        l_store_at(x, e, i, count);
        total = l_add(total, i + 16 <= count ? e : l_load_part(x + i, count - i, 0.0f));
    }
    const lanes inverse = l_set1(1.0f / l_total(total));
    for (size_t i = 0; i < count; i += 16)
        l_store_at(x, l_mul(l_load_at(x, i, count, 0.0f), inverse), i, count);
}
LANE_TARGET static void causal_softmax(float *scores, size_t n, float scale) {
    for (size_t r = 0; r < n; r++) {
        softmax(scores + r * n, r + 1, scale);
        __builtin_memset(scores + r * n + r + 1, 0, sizeof(float) * (n - r - 1));
    }
}

// ds = p (dp - sum(dp p)) scale on the lower triangle, zero above it; in place of dp.
LANE_TARGET static void causal_softmax_backward(float *dp, const float *p, size_t n, float scale) {
    for (size_t r = 0; r < n; r++) {
        float *d = dp + r * n;
        const float *q = p + r * n;
        lanes dot = l_set1(0.0f);
        for (size_t i = 0; i <= r; i += 16)
            dot = l_fma(l_load_at(d, i, r + 1, 0.0f), l_load_at(q, i, r + 1, 0.0f), dot);
        const lanes total = l_set1(l_total(dot)), factor = l_set1(scale);
        for (size_t i = 0; i <= r; i += 16) {
            const lanes inner = l_sub(l_load_at(d, i, r + 1, 0.0f), total);
            l_store_at(d, l_mul(l_mul(l_load_at(q, i, r + 1, 0.0f), inner), factor), i, r + 1);
        }
        __builtin_memset(d + r + 1, 0, sizeof(float) * (n - r - 1));
    }
}

// Heads are column slices of q, k and v, so the products run with the distance 3*width between rows.
LANE_TARGET static void attention(float *workspace, float *out, float *probabilities, const float *qkv, size_t batch,
                                  size_t time, size_t heads, size_t width) {
    const size_t head = width / heads, row = 3 * width;
    const float scale = 1.0f / __builtin_sqrtf((float)head);
    for (size_t b = 0; b < batch; b++)
        for (size_t h = 0; h < heads; h++) {
            const float *q = qkv + b * time * row + h * head, *k = q + width, *v = k + width;
            float *p = probabilities + (b * heads + h) * time * time;
            gemm(workspace, time, time, head, q, row, 0, k, row, 1, p, time, 0);
            causal_softmax(p, time, scale);
            gemm(workspace, time, head, time, p, time, 0, v, row, 0, out + b * time * width + h * head, width, 0);
        }
}
LANE_TARGET static void attention_backward(float *workspace, float *scratch, float *dqkv, const float *dout,
                                           const float *probabilities, const float *qkv, size_t batch, size_t time,
                                           size_t heads, size_t width) {
    const size_t head = width / heads, row = 3 * width;
    const float scale = 1.0f / __builtin_sqrtf((float)head);
    for (size_t b = 0; b < batch; b++)
        for (size_t h = 0; h < heads; h++) {
            const size_t offset = b * time * row + h * head;
            const float *q = qkv + offset, *k = q + width, *v = k + width;
            float *dq = dqkv + offset, *dk = dq + width, *dv = dk + width;
            const float *p = probabilities + (b * heads + h) * time * time;
            const float *d = dout + b * time * width + h * head;
            gemm(workspace, time, time, head, d, width, 0, v, row, 1, scratch, time, 0);
            gemm(workspace, time, head, time, p, time, 1, d, width, 0, dv, row, 0);
            causal_softmax_backward(scratch, p, time, scale);
            gemm(workspace, time, head, time, scratch, time, 0, k, row, 0, dq, row, 0);
            gemm(workspace, time, head, time, scratch, time, 1, q, row, 0, dk, row, 0);
        }
}

LANE_TARGET static void cross_entropy(float *losses, float *dlogits, const float *logits, const int32_t *targets,
                                      size_t rows, size_t vocabulary, float scale) {
    const lanes factor = l_set1(scale);
    for (size_t r = 0; r < rows; r++) {
        const float *in = logits + r * vocabulary;
        float *out = dlogits + r * vocabulary;
        const float chosen = in[targets[r]];
        lanes top = l_set1(-__builtin_inff());
        for (size_t i = 0; i < vocabulary; i += 16) top = l_max(top, l_load_at(in, i, vocabulary, in[0]));
        const float greatest = l_greatest(top);
        const lanes shift = l_set1(greatest);
        lanes sums = l_set1(0.0f);
        for (size_t i = 0; i < vocabulary; i += 16) {
            const lanes e = l_exp(l_sub(l_load_at(in, i, vocabulary, 0.0f), shift));
            l_store_at(out, e, i, vocabulary);
            sums = l_add(sums, i + 16 <= vocabulary ? e : l_load_part(out + i, vocabulary - i, 0.0f));
        }
        const float total = l_total(sums);
        losses[r] = log_one(total) + (greatest - chosen);
        const lanes inverse = l_set1(1.0f / total);
        for (size_t i = 0; i < vocabulary; i += 16)
            l_store_at(out, l_mul(l_mul(l_load_at(out, i, vocabulary, 0.0f), inverse), factor), i, vocabulary);
        out[targets[r]] = out[targets[r]] - scale;
    }
}

LANE_TARGET static void adamw(float *weights, float *m, float *v, const float *gradients, size_t count,
                              const weft_adamw_step *step) {
    const lanes scale = l_set1(step->gradient_scale), decay = l_set1(step->decay);
    const lanes beta1 = l_set1(step->beta1), rest1 = l_set1(step->one_minus_beta1);
    const lanes beta2 = l_set1(step->beta2), rest2 = l_set1(step->one_minus_beta2);
    const lanes size = l_set1(step->step_size), root = l_set1(step->root_bias_correction);
    const lanes epsilon = l_set1(step->epsilon);
    for (size_t i = 0; i < count; i += 16) {
        const lanes g = l_mul(l_load_at(gradients, i, count, 0.0f), scale);
        const lanes m1 = l_fma(beta1, l_load_at(m, i, count, 0.0f), l_mul(rest1, g));
        const lanes v1 = l_fma(beta2, l_load_at(v, i, count, 0.0f), l_mul(rest2, l_mul(g, g)));
        const lanes denominator = l_add(l_div(l_sqrt(v1), root), epsilon);
        const lanes w = l_mul(l_load_at(weights, i, count, 0.0f), decay);
        l_store_at(m, m1, i, count);
        l_store_at(v, v1, i, count);
        l_store_at(weights, l_fnma(size, l_div(m1, denominator), w), i, count);
    }
}
