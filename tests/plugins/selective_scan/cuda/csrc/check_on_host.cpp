/* check.cu with the kernels and CUDA's runtime emulated on the host: is what it compares with right, does it compare?
 * With BROKEN the forward kernels are given D in place of the step's bias. */
#include "scan_on_host.cpp"

#ifdef BROKEN
static int broken_forward(
    const mambapro_scan_cuda_shape *shape, const void *u, const void *delta, const void *A, const void *B, const void *C,
    const void *D, const void *, void *y, int lanes, void *stream) {
    return mambapro_scan_cuda_forward(shape, u, delta, A, B, C, D, D, y, lanes, stream);
}
#define mambapro_scan_cuda_forward broken_forward
#endif

#include "check.cu"
