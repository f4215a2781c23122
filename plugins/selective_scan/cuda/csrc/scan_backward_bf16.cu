/* The backward kernels with bf16 input and output; a file for each type, so that they compile in parallel. */
#include "scan_backward.cuh"

SCAN_BACKWARD(mambapro::bf16, bf16, 1)
SCAN_BACKWARD(mambapro::bf16, bf16, 4)
SCAN_SUMS(mambapro::bf16, bf16)
