// Choosing the kernels at run time.
#pragma STDC FP_CONTRACT OFF

#include "targets.h"

#if WEFT_HAVE_X86
#include <cpuid.h>

// The features count only if the operating system saves their registers (XCR0).
static uint64_t saved_registers(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

static int has(weft_instruction_set set) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const unsigned fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28;
    if ((c & (fma | osxsave | avx)) != (fma | osxsave | avx)) return 0;
    const uint64_t saved = saved_registers();
    if ((saved & 0x06) != 0x06) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    const unsigned avx2 = 1u << 5, avx512f = 1u << 16;
    if (set == WEFT_AVX2) return (b & avx2) != 0;
    return (b & avx2) && (b & avx512f) && (saved & 0xE6) == 0xE6;
}
#endif

const weft_kernels *weft_kernels_for(weft_instruction_set set) {
    switch (set) {
    case WEFT_SCALAR: return &weft_kernels_scalar;
#if WEFT_HAVE_NEON
    case WEFT_NEON: return &weft_kernels_neon;
#endif
#if WEFT_HAVE_X86
    case WEFT_AVX2: return has(set) ? &weft_kernels_avx2 : 0;
    case WEFT_AVX512: return has(set) ? &weft_kernels_avx512 : 0;
#endif
    default: return 0;
    }
}

const weft_kernels *weft_kernels_best(void) {
    const weft_instruction_set order[] = {WEFT_AVX512, WEFT_AVX2, WEFT_NEON};
    for (int i = 0; i < 3; i++) {
        const weft_kernels *kernels = weft_kernels_for(order[i]);
        if (kernels) return kernels;
    }
    return &weft_kernels_scalar;
}
