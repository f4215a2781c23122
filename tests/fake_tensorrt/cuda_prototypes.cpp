// The driver's functions with cuda.h's own prototypes, on the host's memory: what ctypes hands over is checked against
// what a compiler would. Handles are wide, so that a cut one is noticed. Nothing is asynchronous here.

#include <cstdlib>
#include <cstring>

#include "cuda.h"

namespace {

template <typename T> T wide(unsigned long long tail) {
    return reinterpret_cast<T>(0x1122334400000000ULL + tail);
}
const CUcontext context = wide<CUcontext>(1);
const CUstream stream = wide<CUstream>(2);
const CUgraph graph = wide<CUgraph>(3);
const CUgraphExec executable = wide<CUgraphExec>(4);
const CUdevice device = 5;
bool capturing = false;
int launches = 0, current = 0;

CUresult right(bool condition) { return condition ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }

}  // namespace

extern "C" {

int fake_launches() { return launches; }
int fake_current() { return current; }

CUresult cuGetErrorString(CUresult code, const char **text) {
    *text = code == CUDA_ERROR_INVALID_VALUE ? "invalid argument" : "another error";
    return CUDA_SUCCESS;
}
CUresult cuDeviceGetCount(int *count) { return *count = 3, CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice *found, int ordinal) { return *found = device, right(ordinal == 2); }
CUresult cuDeviceGetName(char *text, int size, CUdevice which) {
    return std::strncpy(text, "Prototype", static_cast<size_t>(size)), right(size > 9 && which == device);
}
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute what, CUdevice which) {
    *value = what == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? 8 : 7;
    return right(which == device && (*value == 8 || what == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR));
}
CUresult cuDevicePrimaryCtxRetain(CUcontext *made, CUdevice which) { return *made = context, right(which == device); }
CUresult cuCtxPushCurrent(CUcontext given) { return ++current, right(given == context); }
CUresult cuCtxPopCurrent(CUcontext *given) { return --current, *given = context, CUDA_SUCCESS; }
CUresult cuMemAlloc(CUdeviceptr *address, size_t size) {
    return *address = reinterpret_cast<CUdeviceptr>(std::malloc(size)), right(size == 1000);
}
CUresult cuMemFree(CUdeviceptr address) { return std::free(reinterpret_cast<void *>(address)), CUDA_SUCCESS; }
CUresult cuMemHostAlloc(void **address, size_t size, unsigned int flags) {
    return *address = std::malloc(size), right(size == 1000 && flags == CU_MEMHOSTALLOC_PORTABLE);
}
CUresult cuMemFreeHost(void *address) { return std::free(address), CUDA_SUCCESS; }
CUresult cuMemcpyHtoDAsync(CUdeviceptr target, const void *source, size_t size, CUstream where) {
    return std::memcpy(reinterpret_cast<void *>(target), source, size), right(where == stream && size <= 1000);
}
CUresult cuMemcpyDtoHAsync(void *target, CUdeviceptr source, size_t size, CUstream where) {
    return std::memcpy(target, reinterpret_cast<void *>(source), size), right(where == stream && size <= 1000);
}
CUresult cuStreamCreate(CUstream *made, unsigned int flags) {
    return *made = stream, right(flags == CU_STREAM_NON_BLOCKING);
}
CUresult cuStreamSynchronize(CUstream where) { return right(where == stream); }
CUresult cuStreamDestroy(CUstream where) { return right(where == stream); }
CUresult cuStreamBeginCapture(CUstream where, CUstreamCaptureMode mode) {
    return capturing = true, right(where == stream && mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
}
CUresult cuStreamEndCapture(CUstream where, CUgraph *made) {
    const bool was = capturing;
    return capturing = false, *made = was ? graph : nullptr, right(was && where == stream);
}
CUresult cuGraphInstantiateWithFlags(CUgraphExec *made, CUgraph from, unsigned long long flags) {
    return *made = executable, right(from == graph && flags == 0);
}
CUresult cuGraphDestroy(CUgraph which) { return right(which == graph); }
CUresult cuGraphLaunch(CUgraphExec which, CUstream where) {
    return ++launches, right(which == executable && where == stream);
}
CUresult cuGraphExecDestroy(CUgraphExec which) { return right(which == executable); }

}  // extern "C"
