/* Compares every kernel with a CPU reference, then measures. Compile and run, in this folder:
 *
 *   nvcc -std=c++17 -O3 -arch=native -o check check.cu scan_launch*.cu scan_forward_*.cu scan_backward_*.cu
 *   ./check [--no-times]
 *
 * Where there is no GPU to ask, -arch=sm_90 or another takes the place of native. Exit codes: 0 all results match;
 * 1 some do not, or CUDA failed; 3 there is no GPU; 4 the driver is too old for this program. Lines that begin with
 * "check" or "time" are read by benchmarks/gpu/kernels.py. */
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "check_reference.h"

using namespace check;

static void must(cudaError_t error, const char *what) {
    if (error == cudaSuccess) return;
    std::printf("%s: %s\n", what, cudaGetErrorString(error));
    std::exit(1);
}

static const char *const TYPES[] = {"float32", "float16", "bfloat16"};
static const double LIMITS[] = {5e-6, 2e-3, 1.6e-2}, GRADIENT_LIMIT = 1e-4;

/* Device memory that holds numbers of a type; poisoned until it is filled. */
class Array {
public:
    Array(size_t count, int type) : count(count), type(type) {
        must(cudaMalloc(&memory, std::max<size_t>(bytes(), 1)), "cudaMalloc");
        must(cudaMemset(memory, 0xff, bytes()), "cudaMemset");
    }
    Array(const Numbers &from, int type) : Array(from.size(), type) {
        std::vector<char> raw(bytes());
        for (size_t i = 0; i < count; i++) {
            const float x = static_cast<float>(from[i]);
            const uint16_t half = type == MAMBAPRO_CUDA_FLOAT16 ? mambapro::from_float<mambapro::fp16>(x).bits
                                                                : mambapro::from_float<mambapro::bf16>(x).bits;
            if (type == MAMBAPRO_CUDA_FLOAT32) std::memcpy(&raw[4 * i], &x, 4);
            else std::memcpy(&raw[2 * i], &half, 2);
        }
        must(cudaMemcpy(memory, raw.data(), bytes(), cudaMemcpyHostToDevice), "copy to the GPU");
    }
    ~Array() { cudaFree(memory); }
    Array(const Array &) = delete;
    Array &operator=(const Array &) = delete;

    Numbers read() const {
        std::vector<char> raw(bytes());
        must(cudaMemcpy(raw.data(), memory, bytes(), cudaMemcpyDeviceToHost), "copy from the GPU");
        Numbers x(count);
        for (size_t i = 0; i < count; i++) {
            float single;
            uint16_t half;
            std::memcpy(&single, &raw[type == MAMBAPRO_CUDA_FLOAT32 ? 4 * i : 0], 4);
            std::memcpy(&half, &raw[2 * i], 2);
            x[i] = type == MAMBAPRO_CUDA_FLOAT32   ? single
                   : type == MAMBAPRO_CUDA_FLOAT16 ? mambapro::to_float(mambapro::fp16{half})
                                                   : mambapro::to_float(mambapro::bf16{half});
        }
        return x;
    }
    size_t bytes() const { return count * (type == MAMBAPRO_CUDA_FLOAT32 ? 4 : 2); }
    void *memory = nullptr;

private:
    size_t count;
    int type;
};

/* A scan on the GPU. */
struct Scan {
    Shape s;
    Array u, delta, A_, B_, C_, D_, bias, dy, y;

    Scan(const Shape &s, const Inputs &x)
        : s(s), u(x.of[U], s.type), delta(x.of[DELTA], s.type), A_(x.of[A], 0), B_(x.of[B], s.type), C_(x.of[C], s.type),
          D_(x.of[D], 0), bias(x.of[BIAS], 0), dy(x.dy, s.type), y(x.of[U].size(), s.type) {}

    int forward(int lanes) const {
        return mambapro_scan_cuda_forward(
            &s, u.memory, delta.memory, A_.memory, B_.memory, C_.memory, D_.memory, bias.memory, y.memory, lanes, nullptr);
    }
    int backward(Array *const (&to)[TENSORS], Array &workspace) const {
        return mambapro_scan_cuda_backward(
            &s, dy.memory, u.memory, delta.memory, A_.memory, B_.memory, C_.memory, D_.memory, bias.memory, to[U]->memory,
            to[DELTA]->memory, to[A]->memory, to[B]->memory, to[C]->memory, to[D]->memory, to[BIAS]->memory,
            workspace.memory, nullptr);
    }
    size_t bytes() const { return 3 * u.bytes() + A_.bytes() + 2 * B_.bytes() + 2 * D_.bytes(); }
};

static int failures = 0;

static void report(const Shape &s, const char *what, double error, double limit) {
    const bool passed = error <= limit;
    failures += !passed;
    std::printf(
        "check %s batch %d length %d channels %d groups %d state %d %s error %.2e limit %.0e %s\n", TYPES[s.type], s.batch,
        s.length, s.channels, s.groups, s.state, what, error, limit, passed ? "passed" : "FAILED");
}

static void compare(Shape s) {
    for (s.type = 0; s.type < 3; s.type++) {
        const Inputs inputs(s);
        const Expected expected(s, inputs);
        Scan scan(s, inputs);
        for (int lanes : {1, 4, 16}) {
            if (lanes == 1 && s.state > 16) continue;
            must(cudaMemset(scan.y.memory, 0xff, scan.y.bytes()), "cudaMemset");
            must(static_cast<cudaError_t>(scan.forward(lanes)), "forward");
            const std::string what = "lanes " + std::to_string(lanes) + " y";
            report(s, what.c_str(), error_of(scan.y.read(), expected.y), LIMITS[s.type]);
        }
        Array du(size_of(s, U), s.type), ddelta(size_of(s, U), s.type), dA(size_of(s, A), 0), dB(size_of(s, B), s.type),
            dC(size_of(s, C), s.type), dD(size_of(s, D), 0), dbias(size_of(s, D), 0);
        Array *const gradients[TENSORS] = {&du, &ddelta, &dA, &dB, &dC, &dD, &dbias};
        Array workspace(mambapro_scan_cuda_workspace_bytes(&s) / 4, 0);
        must(static_cast<cudaError_t>(scan.backward(gradients, workspace)), "backward");
        for (int i = 0; i < TENSORS; i++) {
            const double limit = is_parameter(i) ? GRADIENT_LIMIT : std::max(GRADIENT_LIMIT, LIMITS[s.type]);
            report(s, (std::string("d") + NAMES[i]).c_str(), error_of(gradients[i]->read(), expected.gradients[i]), limit);
        }
    }
}

/* Median milliseconds of a forward pass. */
static double milliseconds(const Scan &scan, int lanes) {
    cudaEvent_t start, end;
    must(cudaEventCreate(&start), "cudaEventCreate");
    must(cudaEventCreate(&end), "cudaEventCreate");
    std::vector<float> times(51);
    constexpr int AT_ONCE = 10; /* launches between two events, so that gaps between launches do not count */
    for (float &ms : times) {
        must(cudaEventRecord(start), "cudaEventRecord");
        for (int i = 0; i < AT_ONCE; i++) must(static_cast<cudaError_t>(scan.forward(lanes)), "forward");
        must(cudaEventRecord(end), "cudaEventRecord");
        must(cudaEventSynchronize(end), "cudaEventSynchronize");
        must(cudaEventElapsedTime(&ms, start, end), "cudaEventElapsedTime");
    }
    cudaEventDestroy(start);
    cudaEventDestroy(end);
    std::sort(times.begin(), times.end());
    return times[times.size() / 2] / AT_ONCE;
}

static void measure(Shape s, int multiprocessors, double clocks_per_ms) {
    for (s.type = 0; s.type < 3; s.type++) {
        const Scan scan(s, Inputs(s));
        const int chosen = mambapro_scan_cuda_lanes(&s, multiprocessors);
        /* the exponential unit gives 16 results per clock in each multiprocessor */
        const double exponentials = static_cast<double>(s.batch) * s.length * s.channels * s.state;
        const double least = exponentials / (16.0 * multiprocessors * clocks_per_ms);
        for (int lanes : {1, 4, 16}) {
            const double ms = milliseconds(scan, lanes);
            std::printf(
                "time %s batch %d length %d channels %d groups %d state %d lanes %d%s ms %.5f GB/s %.1f exp %.1f %%\n",
                TYPES[s.type], s.batch, s.length, s.channels, s.groups, s.state, lanes, lanes == chosen ? " (chosen)" : "", ms,
                scan.bytes() / ms * 1e-6, 100 * least / ms);
        }
    }
}

/* Ends the program unless there is a GPU that it can use. A broken driver is an error, not the lack of a GPU. */
static void find_gpu() {
    constexpr int NO_GPU = 3, DRIVER_TOO_OLD = 4;
    int count = 0, driver = 0, runtime = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaErrorInsufficientDriver) {
        /* so the runtime calls a missing driver, too; its version is 0 then */
        must(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
        must(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
        if (driver == 0) std::printf("no GPU: there is no NVIDIA driver\n"), std::exit(NO_GPU);
        std::printf(
            "the NVIDIA driver is too old: it is for CUDA %d.%d, this program for CUDA %d.%d; install a newer driver, or "
            "compile with an older CUDA\n",
            driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
        std::exit(DRIVER_TOO_OLD);
    }
    if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0))
        std::printf("no GPU: the driver lists none\n"), std::exit(NO_GPU);
    must(error, "cudaGetDeviceCount");
}

int main(int count_of_words, char **words) {
    const bool times = !(count_of_words > 1 && std::strcmp(words[1], "--no-times") == 0);
    find_gpu();
    cudaDeviceProp gpu;
    must(cudaGetDeviceProperties(&gpu, 0), "cudaGetDeviceProperties");
    int kilohertz = 0;
    must(cudaDeviceGetAttribute(&kilohertz, cudaDevAttrClockRate, 0), "cudaDeviceGetAttribute");
    std::printf("%s, %d multiprocessors, %d MHz\n", gpu.name, gpu.multiProcessorCount, kilohertz / 1000);
    /* batch, length, channels, groups, state: every kernel, tiles and blocks that are not full, several groups */
    for (const Shape &s : {Shape{1, 1, 1, 1, 1, 0}, Shape{2, 67, 33, 1, 1, 0}, Shape{2, 128, 96, 3, 4, 0},
                           Shape{3, 45, 40, 2, 3, 0}, Shape{1, 384, 256, 1, 16, 0}, Shape{2, 130, 135, 3, 16, 0},
                           Shape{1, 100, 20, 2, 17, 0}, Shape{1, 197, 48, 1, 64, 0}})
        compare(s);
    if (failures) return std::printf("%d results do not match.\n", failures), 1;
    std::printf("All results match.\n");
    if (!times) return 0;
    for (int batch : {1, 64}) {
        measure({batch, 128, 3072, 3, 16, 0}, gpu.multiProcessorCount, kilohertz);
        measure({batch, 384, 1024, 1, 16, 0}, gpu.multiProcessorCount, kilohertz);
    }
    return 0;
}
