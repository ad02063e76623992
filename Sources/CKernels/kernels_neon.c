// The kernels for NEON.
#pragma STDC FP_CONTRACT OFF

#include "targets.h"

#if WEFT_HAVE_NEON
#define LANES_HEADER "lanes_neon.h"
#define KERNELS_NAME weft_kernels_neon
#define KERNELS_TEXT "NEON"
#define KERNELS_SET WEFT_NEON
#include "body.h"
#endif
