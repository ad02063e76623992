// The kernels for AVX2.
#pragma STDC FP_CONTRACT OFF

#include "targets.h"

#if WEFT_HAVE_X86
#define LANES_HEADER "lanes_avx2.h"
#define KERNELS_NAME weft_kernels_avx2
#define KERNELS_TEXT "AVX2"
#define KERNELS_SET WEFT_AVX2
#include "body.h"
#endif
