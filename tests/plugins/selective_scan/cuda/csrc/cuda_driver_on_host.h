/* The part of the CUDA driver's interface that cuda_driver.py and benchmarks/gpu_check.py call, over the emulated
 * kernels: a module is PTX text, of which the kernels' names and numbers of parameters are compared with those here.
 * There are two GPUs. As on real ones each thread has its own current context, at first none; a kernel can be launched
 * only where the context that it was loaded in is current; and while a graph is recorded only a thread that has said
 * that it means it, by the relaxed mode, can load one. */
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

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

constexpr int GPUS = 2;
struct Context {
    int device;
};
inline Context primary[GPUS] = {{0}, {1}}, other = {0};
inline std::atomic<int> retained[GPUS];
inline thread_local std::vector<Context *> contexts;
inline Context *current_context() { return contexts.empty() ? nullptr : contexts.back(); }
inline std::atomic<int> launched_on{-1};

constexpr int GLOBAL = 0, RELAXED = 2;
inline thread_local int capture_mode = GLOBAL;
inline std::atomic<bool> capturing{false};

struct Module {
    std::string text;
    Context *context;
};
struct Function {
    Kernel *kernel;
    Context *context;
};

} /* namespace cuda_on_host */

enum { SUCCESS = 0, INVALID_VALUE = 1, NO_MEMORY = 2, NO_DEVICE = 101, INVALID_CONTEXT = 201, INVALID_PTX = 218 };
enum { INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_WHILE_CAPTURING = 900 };

extern "C" {

/* What is current on the calling thread: -1 none, a GPU's primary context, or 2: another context of the first GPU. */
void cuda_on_host_context(int which) {
    using namespace cuda_on_host;
    contexts.clear();
    if (which >= 0) contexts.push_back(which < GPUS ? &primary[which] : &other);
}
int cuda_on_host_current() { return cuda_on_host::current_context() ? cuda_on_host::current_context()->device : -1; }
int cuda_on_host_depth() { return static_cast<int>(cuda_on_host::contexts.size()); }
int cuda_on_host_launched_on() { return cuda_on_host::launched_on; }
int cuda_on_host_retained(int device) { return cuda_on_host::retained[device]; }
/* A recording begins or ends. */
void cuda_on_host_capturing(int now) { cuda_on_host::capturing = now; }
int cuda_on_host_capture_mode() { return cuda_on_host::capture_mode; }

int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int *version) { return *version = 13000, SUCCESS; }
int cuDeviceGetCount(int *count) { return *count = cuda_on_host::GPUS, SUCCESS; }
int cuDeviceGet(int *device, int ordinal) {
    return *device = ordinal, ordinal >= 0 && ordinal < cuda_on_host::GPUS ? SUCCESS : NO_DEVICE;
}
int cuDeviceGetName(char *name, int size, int) { return snprintf(name, size, "emulation on the host"), SUCCESS; }
int cuDeviceGetAttribute(int *value, int, int) { return *value = cuda_on_host::MULTIPROCESSORS, SUCCESS; }
int cuDevicePrimaryCtxRetain(void **context, int device) {
    return cuda_on_host::retained[device]++, *context = &cuda_on_host::primary[device], SUCCESS;
}
int cuCtxPushCurrent_v2(void *context) {
    return cuda_on_host::contexts.push_back(static_cast<cuda_on_host::Context *>(context)), SUCCESS;
}
int cuCtxPopCurrent_v2(void **context) {
    if (!cuda_on_host::current_context()) return INVALID_CONTEXT;
    *context = cuda_on_host::current_context();
    return cuda_on_host::contexts.pop_back(), SUCCESS;
}
int cuCtxSetCurrent(void *context) {
    if (cuda_on_host::current_context()) cuda_on_host::contexts.pop_back();
    return cuCtxPushCurrent_v2(context);
}
int cuCtxGetDevice(int *device) {
    return *device = cuda_on_host_current(), *device < 0 ? INVALID_CONTEXT : SUCCESS;
}
int cuCtxSynchronize() { return SUCCESS; }
int cuCtxGetCurrent(void **context) { return *context = cuda_on_host::current_context(), SUCCESS; }
int cuThreadExchangeStreamCaptureMode(int *mode) {
    if (*mode < cuda_on_host::GLOBAL || *mode > cuda_on_host::RELAXED) return INVALID_VALUE;
    return std::swap(*mode, cuda_on_host::capture_mode), SUCCESS;
}

int cuGetErrorString(int code, const char **words) {
    *words = code == INVALID_VALUE ? "invalid argument"
             : code == NO_DEVICE   ? "invalid device ordinal"
             : code == NOT_FOUND   ? "named symbol not found"
                                   : "some error";
    return SUCCESS;
}

int cuModuleLoadData(void **module, const void *image) {
    const std::string text(static_cast<const char *>(image));
    if (!cuda_on_host::current_context()) return INVALID_CONTEXT;
    if (cuda_on_host::capturing && cuda_on_host::capture_mode != cuda_on_host::RELAXED) return NOT_WHILE_CAPTURING;
    if (text.find(".visible .entry ") == std::string::npos) return INVALID_PTX;
    *module = new cuda_on_host::Module{text, cuda_on_host::current_context()};
    return SUCCESS;
}

int cuModuleGetFunction(void **function, void *module, const char *name) {
    const std::string &text = static_cast<cuda_on_host::Module *>(module)->text;
    const size_t start = text.find(".visible .entry " + std::string(name) + "(");
    const auto found = cuda_on_host::kernels().find(name);
    if (start == std::string::npos || found == cuda_on_host::kernels().end()) return NOT_FOUND;
    size_t parameters = 0;
    for (size_t at = start; (at = text.find(".param ", at)) < text.find(")", start); at++) parameters++;
    if (parameters != found->second.parameters) return INVALID_PTX;
    *function = new cuda_on_host::Function{&found->second, static_cast<cuda_on_host::Module *>(module)->context};
    return SUCCESS;
}

int cuLaunchKernel(
    void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *,
    void **arguments, void **) {
    if (!gx || !gy || gz != 1 || by != 1 || bz != 1 || shared) return INVALID_VALUE;
    const cuda_on_host::Function &loaded = *static_cast<cuda_on_host::Function *>(function);
    if (loaded.context != cuda_on_host::current_context()) return INVALID_HANDLE;
    cuda_on_host::launched_on = loaded.context->device;
    loaded.kernel->run(loaded.kernel, gx, gy, static_cast<int>(bx), arguments);
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
