/* What both launchers need: the shape's rules and the launch itself. */
#pragma once

#include "scan_cuda.h"

#ifndef MAMBAPRO_CUDA_ON_HOST
#include <cuda_runtime_api.h>
#endif

namespace mambapro {

constexpr int MAX_STATE = 64, MAX_BATCH = 65535; /* the latter: a grid's second dimension */

/* 0, or what is wrong. */
inline int wrong_with(const mambapro_scan_cuda_shape &s) {
    if (s.batch < 0 || s.batch > MAX_BATCH || s.length < 0 || s.channels < 0 || s.groups < 1 || s.channels % s.groups ||
        s.state < 1 || s.state > MAX_STATE)
        return MAMBAPRO_CUDA_BAD_SHAPE;
    return s.type < MAMBAPRO_CUDA_FLOAT32 || s.type > MAMBAPRO_CUDA_BFLOAT16 ? MAMBAPRO_CUDA_BAD_TYPE : 0;
}

inline bool is_empty(const mambapro_scan_cuda_shape &s) { return s.batch == 0 || s.length == 0 || s.channels == 0; }

struct Grid {
    unsigned x, y;
};

#ifdef MAMBAPRO_CUDA_ON_HOST

template <class... P>
int launch(void (*kernel)(P...), Grid grid, int threads, void *, void **arguments) {
    cuda_on_host::run(kernel, grid.x, grid.y, threads, arguments);
    return 0;
}

inline int multiprocessors(int *count) {
    *count = cuda_on_host::MULTIPROCESSORS;
    return 0;
}

#else

template <class... P>
int launch(void (*kernel)(P...), Grid grid, int threads, void *stream, void **arguments) {
    return cudaLaunchKernel(
        reinterpret_cast<const void *>(kernel), dim3(grid.x, grid.y), dim3(threads), arguments, 0,
        static_cast<cudaStream_t>(stream));
}

/* Of the current device. */
inline int multiprocessors(int *count) {
    int device;
    const cudaError_t error = cudaGetDevice(&device);
    return error ? error : cudaDeviceGetAttribute(count, cudaDevAttrMultiProcessorCount, device);
}

#endif

} /* namespace mambapro */
