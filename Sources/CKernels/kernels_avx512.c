// The kernels for AVX-512.
#pragma STDC FP_CONTRACT OFF

#include "targets.h"

#if WEFT_HAVE_X86
#define LANES_HEADER "lanes_avx512.h"
#define KERNELS_NAME weft_kernels_avx512
#define KERNELS_TEXT "AVX-512"
#define KERNELS_SET WEFT_AVX512
#include "body.h"
#endif
