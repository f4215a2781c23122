// The part of tensorrt_host.cpp that runs kernels: memory of the GPU through the CUDA driver, or of the host for a
// library whose kernels are compiled for it; the scan in double precision; and the comparison of enqueue with it.
#pragma once

#include <NvInferRuntime.h>
#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

// The driver's types, without its header.
using Address = uint64_t;
using Context = void *;
using Device = int;

struct Sizes {
    int64_t batch, length, channels, groups, state;
};

// Where tensors lie. The driver's functions are looked up when the program runs: it is linked with nothing of CUDA's.
class Memory {
public:
    explicit Memory(bool on_host) : on_host_(on_host) {}
    // Whether there is a GPU, or none is needed; the first one is made current.
    bool start() {
        if (on_host_)
            return true;
        library_ = dlopen("libcuda.so.1", RTLD_NOW);
        int count = 0;
        if (!library_ || call<int(unsigned)>("cuInit", 0u) != 0 || call<int(int *)>("cuDeviceGetCount", &count) != 0 ||
            count == 0)
            return false;
        char name[256] = "";
        Context context = nullptr;
        Device device = 0;
        check("cuDeviceGet", call<int(Device *, int)>("cuDeviceGet", &device, 0));
        check("cuDeviceGetName", call<int(char *, int, Device)>("cuDeviceGetName", name, 255, device));
        check("cuDevicePrimaryCtxRetain",
              call<int(Context *, Device)>("cuDevicePrimaryCtxRetain", &context, device));
        check("cuCtxSetCurrent", call<int(Context)>("cuCtxSetCurrent", context));
        std::printf("GPU: %s\n", name);
        return true;
    }
    Address room(size_t bytes) {
        if (on_host_)
            return reinterpret_cast<Address>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
        Address pointer = 0;
        check("cuMemAlloc", call<int(Address *, size_t)>("cuMemAlloc_v2", &pointer, bytes));
        return pointer;
    }
    Address upload(const std::vector<uint8_t> &data) {
        const Address pointer = room(data.size());
        if (on_host_)
            std::memcpy(reinterpret_cast<void *>(pointer), data.data(), data.size());
        else
            check("cuMemcpyHtoD",
                  call<int(Address, const void *, size_t)>("cuMemcpyHtoD_v2", pointer, data.data(), data.size()));
        return pointer;
    }
    std::vector<uint8_t> download(Address pointer, size_t bytes) {
        std::vector<uint8_t> data(bytes);
        if (on_host_) {
            std::memcpy(data.data(), reinterpret_cast<const void *>(pointer), bytes);
            return data;
        }
        check("cuCtxSynchronize", call<int()>("cuCtxSynchronize"));
        check("cuMemcpyDtoH", call<int(void *, Address, size_t)>("cuMemcpyDtoH_v2", data.data(), pointer, bytes));
        return data;
    }
    void free(Address pointer) {
        if (on_host_)
            std::free(reinterpret_cast<void *>(pointer));
        else
            check("cuMemFree", call<int(Address)>("cuMemFree_v2", pointer));
    }

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
    bool on_host_;
    void *library_ = nullptr;
};

// A binary floating point format; the bits of a number in it, rounded to nearest even, and the number bits stand for.
struct Format {
    int width, mantissa, bias;
    uint32_t bits(double x) const {
        const uint32_t sign = std::signbit(x) ? 1u << (8 * width - 1) : 0;
        if (x == 0)
            return sign;
        const int exponent = std::max(std::ilogb(x), 1 - bias);
        const auto digits = static_cast<int64_t>(std::nearbyint(std::ldexp(std::fabs(x), mantissa - exponent)));
        // a carry of the digits runs into the exponent, as it should
        return sign + static_cast<uint32_t>((int64_t(exponent + bias - 1) << mantissa) + digits);
    }
    double number(uint32_t bits) const {
        const int exponents = (1 << (8 * width - 1 - mantissa)) - 1;
        const int exponent = (bits >> mantissa) & exponents;
        const double digits = bits & ((1u << mantissa) - 1), hidden = 1u << mantissa;
        const double sign = bits >> (8 * width - 1) ? -1 : 1;
        if (exponent == exponents)
            return digits ? NAN : sign * INFINITY;
        return sign * std::ldexp(exponent ? digits + hidden : digits, std::max(exponent, 1) - bias - mantissa);
    }
};

inline Format format_of(nvinfer1::DataType type) {
    if (type == nvinfer1::DataType::kHALF)
        return {2, 10, 15};
    return type == nvinfer1::DataType::kBF16 ? Format{2, 7, 127} : Format{4, 23, 127};
}

// Numbers in the bytes of `type`; `values` become what the bytes stand for.
inline std::vector<uint8_t> stored(std::vector<double> &values, nvinfer1::DataType type) {
    const Format format = format_of(type);
    std::vector<uint8_t> bytes(values.size() * format.width);
    for (size_t i = 0; i < values.size(); ++i) {
        const uint32_t bits = format.bits(values[i]);
        std::memcpy(&bytes[i * format.width], &bits, format.width); // little endian, as every GPU's host is
        values[i] = format.number(bits);
    }
    return bytes;
}

inline double loaded(const std::vector<uint8_t> &bytes, size_t i, nvinfer1::DataType type) {
    const Format format = format_of(type);
    uint32_t bits = 0;
    std::memcpy(&bits, &bytes[i * format.width], format.width);
    return format.number(bits);
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
template <typename Enqueue> double error_of(Memory &memory, const Sizes &n, nvinfer1::DataType type, Enqueue enqueue) {
    const int64_t tokens = n.batch * n.length;
    const int64_t counts[7] = {tokens * n.channels, tokens * n.channels,      n.channels * n.state,
                               tokens * n.groups * n.state, tokens * n.groups * n.state, n.channels, n.channels};
    std::vector<double> x[7];
    Address places[8];
    const void *inputs[7];
    uint32_t random = 1;
    for (int i = 0; i < 7; ++i) {
        for (int64_t k = 0; k < counts[i]; ++k) {
            random = random * 1664525u + 1013904223u;
            const double value = (random >> 8) / double(1 << 24) * 4 - 2;
            x[i].push_back(i == 2 ? -std::exp(value) : value);
        }
        places[i] = memory.upload(stored(x[i], i == 2 || i > 4 ? nvinfer1::DataType::kFLOAT : type));
        inputs[i] = reinterpret_cast<const void *>(places[i]);
    }
    const size_t bytes = counts[0] * format_of(type).width;
    places[7] = memory.room(bytes);
    void *outputs[1] = {reinterpret_cast<void *>(places[7])};
    if (enqueue(inputs, outputs) != 0)
        throw std::runtime_error("enqueue failed");
    const auto found = memory.download(places[7], bytes);
    const auto expected = reference(n, x);
    double worst = 0, scale = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        const double difference = std::fabs(loaded(found, i, type) - expected[i]);
        worst = difference <= worst ? worst : difference; // NaN stays
        scale = std::max(scale, std::fabs(expected[i]));
    }
    for (Address pointer : places)
        memory.free(pointer);
    return worst / scale;
}
