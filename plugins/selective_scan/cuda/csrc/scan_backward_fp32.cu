/* The backward kernels with fp32 input and output; a file for each type, so that they compile in parallel. */
#include "scan_backward.cuh"

SCAN_BACKWARD(float, fp32, 1)
SCAN_BACKWARD(float, fp32, 4)
SCAN_SUMS(float, fp32)
