/* The forward kernels with fp32 input and output; a file for each type, so that they compile in parallel. */
#include "scan_forward.cuh"

SCAN_FOR_EACH_INSTANCE(SCAN_FORWARD, float, fp32)
