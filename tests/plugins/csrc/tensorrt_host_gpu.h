// The part of tensorrt_host.cpp that needs a GPU: memory through the CUDA driver, the scan in double precision, and the
// comparison of what the plugin's enqueue leaves in device memory with it.
#pragma once

#include <NvInferRuntime.h>
#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <dlfcn.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

struct Sizes {
    int64_t batch, length, channels, groups, state;
};

// The driver's functions, looked up when the program runs: it is linked with nothing of CUDA's.
class Driver {
public:
    // Whether there is a driver with a GPU; then the first one is made current.
    bool start() {
        library_ = dlopen("libcuda.so.1", RTLD_NOW);
        int count = 0;
        if (!library_ || call<int(unsigned)>("cuInit", 0u) != 0 || call<int(int *)>("cuDeviceGetCount", &count) != 0 ||
            count == 0)
            return false;
        char name[256] = "";
        CUcontext context = nullptr;
        CUdevice device = 0;
        check("cuDeviceGet", call<int(CUdevice *, int)>("cuDeviceGet", &device, 0));
        check("cuDeviceGetName", call<int(char *, int, CUdevice)>("cuDeviceGetName", name, 255, device));
        check("cuDevicePrimaryCtxRetain",
              call<int(CUcontext *, CUdevice)>("cuDevicePrimaryCtxRetain", &context, device));
        check("cuCtxSetCurrent", call<int(CUcontext)>("cuCtxSetCurrent", context));
        std::printf("GPU: %s\n", name);
        return true;
    }
    CUdeviceptr memory(size_t bytes) {
        CUdeviceptr pointer = 0;
        check("cuMemAlloc", call<int(CUdeviceptr *, size_t)>("cuMemAlloc_v2", &pointer, bytes));
        return pointer;
    }
    CUdeviceptr upload(const std::vector<uint8_t> &data) {
        const CUdeviceptr pointer = memory(data.size());
        check("cuMemcpyHtoD",
              call<int(CUdeviceptr, const void *, size_t)>("cuMemcpyHtoD_v2", pointer, data.data(), data.size()));
        return pointer;
    }
    std::vector<uint8_t> download(CUdeviceptr pointer, size_t bytes) {
        std::vector<uint8_t> data(bytes);
        check("cuCtxSynchronize", call<int()>("cuCtxSynchronize"));
        check("cuMemcpyDtoH", call<int(void *, CUdeviceptr, size_t)>("cuMemcpyDtoH_v2", data.data(), pointer, bytes));
        return data;
    }
    void free(CUdeviceptr pointer) { check("cuMemFree", call<int(CUdeviceptr)>("cuMemFree_v2", pointer)); }

private:
    template <typename Function, typename... Arguments> int call(const char *name, Arguments... arguments) {
        auto function = reinterpret_cast<Function *>(dlsym(library_, name));
        if (!function)
            throw std::runtime_error(std::string("the driver lacks ") + name);
        return function(arguments...);
    }
    static void check(const char *what, int code) {
        if (code)
            throw std::runtime_error(std::string(what) + " returned " + std::to_string(code));
    }
    void *library_ = nullptr;
};

// Numbers in the bytes of `type`; `values` become what the bytes stand for.
inline std::vector<uint8_t> stored(std::vector<double> &values, nvinfer1::DataType type) {
    const size_t width = type == nvinfer1::DataType::kFLOAT ? 4 : 2;
    std::vector<uint8_t> bytes(values.size() * width);
    for (size_t i = 0; i < values.size(); ++i) {
        const float single = static_cast<float>(values[i]);
        if (type == nvinfer1::DataType::kFLOAT) {
            reinterpret_cast<float *>(bytes.data())[i] = single;
            values[i] = single;
        } else if (type == nvinfer1::DataType::kHALF) {
            reinterpret_cast<__half *>(bytes.data())[i] = __float2half(single);
            values[i] = __half2float(__float2half(single));
        } else {
            reinterpret_cast<__nv_bfloat16 *>(bytes.data())[i] = __float2bfloat16(single);
            values[i] = __bfloat162float(__float2bfloat16(single));
        }
    }
    return bytes;
}

inline double loaded(const std::vector<uint8_t> &bytes, size_t i, nvinfer1::DataType type) {
    if (type == nvinfer1::DataType::kFLOAT)
        return reinterpret_cast<const float *>(bytes.data())[i];
    if (type == nvinfer1::DataType::kHALF)
        return __half2float(reinterpret_cast<const __half *>(bytes.data())[i]);
    return __bfloat162float(reinterpret_cast<const __nv_bfloat16 *>(bytes.data())[i]);
}

// The definition (schema.py), token by token. x: u, delta, A, B, C, D, delta_bias.
inline std::vector<double> reference(const Sizes &n, const std::vector<double> (&x)[7]) {
    std::vector<double> y(n.batch * n.length * n.channels), h(n.state);
    for (int64_t b = 0; b < n.batch; ++b)
        for (int64_t c = 0; c < n.channels; ++c) {
            const int64_t group = c / (n.channels / n.groups);
            std::fill(h.begin(), h.end(), 0.0);
            for (int64_t t = 0; t < n.length; ++t) {
                const int64_t at = (b * n.length + t) * n.channels + c;
                const int64_t maps = ((b * n.length + t) * n.groups + group) * n.state;
                const double raw = x[1][at] + x[6][c];
                const double step = raw > 20 ? raw : std::log1p(std::exp(raw));
                y[at] = x[5][c] * x[0][at];
                for (int64_t s = 0; s < n.state; ++s) {
                    h[s] = std::exp(step * x[2][c * n.state + s]) * h[s] + step * x[0][at] * x[3][maps + s];
                    y[at] += x[4][maps + s] * h[s];
                }
            }
        }
    return y;
}

// Largest error of a call of `enqueue(inputs, outputs)`, as a share of the largest |y|.
template <typename Enqueue> double error_of(Driver &driver, const Sizes &n, nvinfer1::DataType type, Enqueue enqueue) {
    const int64_t tokens = n.batch * n.length;
    const int64_t counts[7] = {tokens * n.channels, tokens * n.channels,      n.channels * n.state,
                               tokens * n.groups * n.state, tokens * n.groups * n.state, n.channels, n.channels};
    std::vector<double> x[7];
    CUdeviceptr memory[8];
    const void *inputs[7];
    uint32_t random = 1;
    for (int i = 0; i < 7; ++i) {
        for (int64_t k = 0; k < counts[i]; ++k) {
            random = random * 1664525u + 1013904223u;
            const double value = (random >> 8) / double(1 << 24) * 4 - 2;
            x[i].push_back(i == 2 ? -std::exp(value) : value);
        }
        memory[i] = driver.upload(stored(x[i], i == 2 || i > 4 ? nvinfer1::DataType::kFLOAT : type));
        inputs[i] = reinterpret_cast<const void *>(memory[i]);
    }
    const size_t bytes = counts[0] * (type == nvinfer1::DataType::kFLOAT ? 4 : 2);
    memory[7] = driver.memory(bytes);
    void *outputs[1] = {reinterpret_cast<void *>(memory[7])};
    if (enqueue(inputs, outputs) != 0)
        throw std::runtime_error("enqueue failed");
    const auto found = driver.download(memory[7], bytes);
    const auto expected = reference(n, x);
    double worst = 0, scale = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        const double difference = std::fabs(loaded(found, i, type) - expected[i]);
        worst = difference <= worst ? worst : difference; // NaN stays
        scale = std::max(scale, std::fabs(expected[i]));
    }
    for (CUdeviceptr pointer : memory)
        driver.free(pointer);
    return worst / scale;
}
