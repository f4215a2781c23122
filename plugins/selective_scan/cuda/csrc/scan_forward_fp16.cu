/* The forward kernels with fp16 input and output; a file for each type, so that they compile in parallel. */
#include "scan_forward.cuh"

SCAN_FOR_EACH_INSTANCE(SCAN_FORWARD, mambapro::fp16, fp16)
