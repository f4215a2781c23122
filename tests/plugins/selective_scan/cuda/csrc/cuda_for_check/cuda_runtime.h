/* The part of CUDA's runtime that check.cu calls, over host memory. The environment says what it finds there:
 * CHECK_ERROR, the code that cudaGetDeviceCount answers; CHECK_GPUS and CHECK_DRIVER, how many and for which CUDA. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include <chrono>

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 };
enum cudaDeviceAttr { cudaDevAttrClockRate = 13 };

struct cudaDeviceProp {
    char name[256];
    int multiProcessorCount;
};

using cudaEvent_t = std::chrono::steady_clock::time_point *;

inline const char *cudaGetErrorString(cudaError_t) { return "an error of the emulation"; }
inline int told(const char *name, int otherwise) { return getenv(name) ? atoi(getenv(name)) : otherwise; }
inline cudaError_t cudaGetDeviceCount(int *count) {
    return *count = told("CHECK_GPUS", 1), static_cast<cudaError_t>(told("CHECK_ERROR", 0));
}
inline cudaError_t cudaDriverGetVersion(int *version) { return *version = told("CHECK_DRIVER", 13000), cudaSuccess; }
inline cudaError_t cudaRuntimeGetVersion(int *version) { return *version = 13000, cudaSuccess; }
inline cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr, int) { return *value = 1000000, cudaSuccess; }
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp *gpu, int) {
    strcpy(gpu->name, "emulation on the host");
    return gpu->multiProcessorCount = cuda_on_host::MULTIPROCESSORS, cudaSuccess;
}
inline cudaError_t cudaMalloc(void **at, size_t bytes) {
    *at = aligned_alloc(256, (bytes + 255) / 256 * 256);
    return *at ? cudaSuccess : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFree(void *at) { return free(at), cudaSuccess; }
inline cudaError_t cudaMemset(void *at, int value, size_t bytes) { return memset(at, value, bytes), cudaSuccess; }
inline cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind) {
    return memcpy(to, from, bytes), cudaSuccess;
}
inline cudaError_t cudaEventCreate(cudaEvent_t *event) {
    return *event = new std::chrono::steady_clock::time_point, cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }
inline cudaError_t cudaEventRecord(cudaEvent_t event) {
    return *event = std::chrono::steady_clock::now(), cudaSuccess;
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end) {
    return *ms = std::chrono::duration<float, std::milli>(*end - *start).count(), cudaSuccess;
}
