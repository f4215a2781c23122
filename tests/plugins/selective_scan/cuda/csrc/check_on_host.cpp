/* check.cu with the kernels and CUDA's runtime emulated on the host: is what it compares with right, does it compare?
 * Where $CHECK_BROKEN is set the forward kernels are given D in place of the step's bias. */
#include "scan_on_host.cpp"

#include <cstdlib>

static int given_forward(
    const mambapro_scan_cuda_shape *shape, const void *u, const void *delta, const void *A, const void *B, const void *C,
    const void *D, const void *bias, void *y, int lanes, void *stream) {
    const void *given = std::getenv("CHECK_BROKEN") ? D : bias;
    return mambapro_scan_cuda_forward(shape, u, delta, A, B, C, D, given, y, lanes, stream);
}
#define mambapro_scan_cuda_forward given_forward

#include "check.cu"
