/* The part of the CUDA driver's interface that cuda_driver.py and benchmarks/gpu_check.py call, over the emulated
 * kernels: a module is PTX text, of which the kernels' names and numbers of parameters are compared with those here. */
#pragma once

#include <chrono>
#include <map>
#include <string>

namespace cuda_on_host {

struct Kernel {
    size_t parameters;
    void (*run)(Kernel *self, unsigned x, unsigned y, int threads, void **arguments);
    void (*function)();
};

template <class... P>
Kernel described(void (*function)(P...)) {
    const auto run_it = [](Kernel *self, unsigned x, unsigned y, int threads, void **arguments) {
        run(reinterpret_cast<void (*)(P...)>(self->function), x, y, threads, arguments);
    };
    return {sizeof...(P), run_it, reinterpret_cast<void (*)()>(function)};
}

#define NAMED(NAME) {#NAME, cuda_on_host::described(NAME)},
#define FORWARD_NAMED(T, TYPE, LANES, STATES) NAMED(selective_scan_forward_##TYPE##_l##LANES##_s##STATES)
#define TYPE_NAMED(T, TYPE)                                                                                            \
    SCAN_FOR_EACH_INSTANCE(FORWARD_NAMED, T, TYPE)                                                                     \
    NAMED(selective_scan_backward_##TYPE##_s1) NAMED(selective_scan_backward_##TYPE##_s4) NAMED(selective_scan_sums_##TYPE)

inline std::map<std::string, Kernel> &kernels() {
    static std::map<std::string, Kernel> all = {
        TYPE_NAMED(float, fp32) TYPE_NAMED(mambapro::fp16, fp16) TYPE_NAMED(mambapro::bf16, bf16)};
    return all;
}

inline bool has_context = true;

} /* namespace cuda_on_host */

enum { SUCCESS = 0, INVALID_VALUE = 1, NO_MEMORY = 2, NOT_FOUND = 500, INVALID_PTX = 218 };

extern "C" {

void cuda_on_host_context(int there) { cuda_on_host::has_context = there; }

int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int *version) { return *version = 13000, SUCCESS; }
int cuDeviceGetCount(int *count) { return *count = 1, SUCCESS; }
int cuDeviceGet(int *device, int) { return *device = 0, SUCCESS; }
int cuDeviceGetName(char *name, int size, int) { return snprintf(name, size, "emulation on the host"), SUCCESS; }
int cuDeviceGetAttribute(int *value, int, int) { return *value = cuda_on_host::MULTIPROCESSORS, SUCCESS; }
int cuDevicePrimaryCtxRetain(void **context, int) { return *context = &cuda_on_host::has_context, SUCCESS; }
int cuCtxSetCurrent(void *) { return cuda_on_host::has_context = true, SUCCESS; }
int cuCtxGetDevice(int *device) { return *device = 0, SUCCESS; }
int cuCtxSynchronize() { return SUCCESS; }

int cuCtxGetCurrent(void **context) {
    return *context = cuda_on_host::has_context ? &cuda_on_host::has_context : nullptr, SUCCESS;
}

int cuGetErrorString(int code, const char **words) {
    *words = code == INVALID_VALUE ? "invalid argument" : code == NOT_FOUND ? "named symbol not found" : "some error";
    return SUCCESS;
}

int cuModuleLoadData(void **module, const void *image) {
    const std::string text(static_cast<const char *>(image));
    if (text.find(".visible .entry ") == std::string::npos) return INVALID_PTX;
    *module = new std::string(text);
    return SUCCESS;
}

int cuModuleGetFunction(void **function, void *module, const char *name) {
    const std::string &text = *static_cast<std::string *>(module);
    const size_t start = text.find(".visible .entry " + std::string(name) + "(");
    const auto found = cuda_on_host::kernels().find(name);
    if (start == std::string::npos || found == cuda_on_host::kernels().end()) return NOT_FOUND;
    size_t parameters = 0;
    for (size_t at = start; (at = text.find(".param ", at)) < text.find(")", start); at++) parameters++;
    if (parameters != found->second.parameters) return INVALID_PTX;
    *function = &found->second;
    return SUCCESS;
}

int cuLaunchKernel(
    void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *,
    void **arguments, void **) {
    if (!gx || !gy || gz != 1 || by != 1 || bz != 1 || shared) return INVALID_VALUE;
    cuda_on_host::Kernel *kernel = static_cast<cuda_on_host::Kernel *>(function);
    kernel->run(kernel, gx, gy, static_cast<int>(bx), arguments);
    return SUCCESS;
}

int cuMemAlloc_v2(void **at, size_t bytes) { return (*at = aligned_alloc(256, (bytes + 255) / 256 * 256)) ? SUCCESS : NO_MEMORY; }
int cuMemFree_v2(void *at) { return free(at), SUCCESS; }
int cuMemcpyHtoD_v2(void *to, const void *from, size_t bytes) { return memcpy(to, from, bytes), SUCCESS; }
int cuMemcpyDtoH_v2(void *to, const void *from, size_t bytes) { return memcpy(to, from, bytes), SUCCESS; }
int cuMemsetD8_v2(void *at, unsigned char value, size_t bytes) { return memset(at, value, bytes), SUCCESS; }

using Clock = std::chrono::steady_clock;
int cuEventCreate(void **event, unsigned) { return *event = new Clock::time_point, SUCCESS; }
int cuEventRecord(void *event, void *) { return *static_cast<Clock::time_point *>(event) = Clock::now(), SUCCESS; }
int cuEventSynchronize(void *) { return SUCCESS; }
int cuEventDestroy_v2(void *event) { return delete static_cast<Clock::time_point *>(event), SUCCESS; }
int cuEventElapsedTime(float *ms, void *start, void *end) {
    const auto passed = *static_cast<Clock::time_point *>(end) - *static_cast<Clock::time_point *>(start);
    return *ms = std::chrono::duration<float, std::milli>(passed).count(), SUCCESS;
}
}
