// Which instruction sets this compilation can contain, and their tables.
#pragma once
#include "CKernels.h"

#if defined(__x86_64__)
#define WEFT_HAVE_X86 1
#else
#define WEFT_HAVE_X86 0
#endif
#if defined(__aarch64__)
#define WEFT_HAVE_NEON 1
#else
#define WEFT_HAVE_NEON 0
#endif

#if !defined(__FLT_EVAL_METHOD__) || __FLT_EVAL_METHOD__ != 0
#error "float32 arithmetic must be evaluated in float32 for reproducible bits"
#endif
#if defined(__FAST_MATH__)
#error "CKernels must not be built with -ffast-math: its bits would depend on the compiler"
#endif

extern const weft_kernels weft_kernels_scalar;
extern const weft_kernels weft_kernels_neon;
extern const weft_kernels weft_kernels_avx2;
extern const weft_kernels weft_kernels_avx512;
