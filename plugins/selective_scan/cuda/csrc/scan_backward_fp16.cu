/* The backward kernels with fp16 input and output; a file for each type, so that they compile in parallel. */
#include "scan_backward.cuh"

SCAN_BACKWARD(mambapro::fp16, fp16, 1)
SCAN_BACKWARD(mambapro::fp16, fp16, 4)
SCAN_SUMS(mambapro::fp16, fp16)
