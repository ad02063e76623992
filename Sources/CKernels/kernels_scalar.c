// The kernels for scalar.
#pragma STDC FP_CONTRACT OFF

#include "targets.h"

#if 1 // every machine
#define LANES_HEADER "lanes_scalar.h"
#define KERNELS_NAME weft_kernels_scalar
#define KERNELS_TEXT "scalar"
#define KERNELS_SET WEFT_SCALAR
#include "body.h"
#endif
