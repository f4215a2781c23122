/* Numbers of the scan's CUDA kernels: the I/O types, the exponential, softplus. Compiles for the host as well: there
 * the kernels are tested where there is no GPU (tests/plugins/csrc/cuda_on_host.h), and check.cu converts with it. */
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#define SCAN_INLINE __host__ __device__ __forceinline__

/* A kernel's static shared memory. */
#ifndef SCAN_SHARED
#define SCAN_SHARED(type, name) __shared__ type name
#endif

namespace mambapro {

/* 16-bit numbers as bits: no header of CUDA's is needed, and the same source serves compute capability 7.5. */
struct fp16 {
    uint16_t bits;
};
struct bf16 {
    uint16_t bits;
};

constexpr float LOG2E = 1.44269504f;       /* log2(e), rounded */
constexpr float LOG2E_REST = 1.92596299e-8f; /* what the rounding left */
constexpr float LN2 = 0.693147181f;
/* Above it softplus is the identity. */
constexpr float SOFTPLUS_LIMIT = 20.0f;

SCAN_INLINE uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

SCAN_INLINE float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

SCAN_INLINE float to_float(float x) { return x; }

SCAN_INLINE float to_float(bf16 x) { return float_of(static_cast<uint32_t>(x.bits) << 16); }

SCAN_INLINE float to_float(fp16 x) {
#ifdef __CUDA_ARCH__
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(x.bits));
    return wide;
#else
    const uint32_t sign = (x.bits & 0x8000u) << 16, magnitude = x.bits & 0x7fffu;
    if (magnitude >= 0x7c00u) return float_of(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
    if (magnitude < 0x0400u) return float_of(sign | bits_of(magnitude * 5.9604644775390625e-8f)); /* times 2^-24 */
    return float_of(sign | ((magnitude << 13) + 0x38000000u));
#endif
}

template <class T>
SCAN_INLINE T from_float(float x);

template <>
SCAN_INLINE float from_float<float>(float x) {
    return x;
}

template <>
SCAN_INLINE bf16 from_float<bf16>(float x) {
    const uint32_t bits = bits_of(x);
    /* to nearest, ties to even; NaN stays NaN */
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return {static_cast<uint16_t>(x != x ? 0x7fc0u : rounded)};
}

template <>
SCAN_INLINE fp16 from_float<fp16>(float x) {
#ifdef __CUDA_ARCH__
    fp16 narrow;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(narrow.bits) : "f"(x));
    return narrow;
#else
    const uint32_t sign = (bits_of(x) >> 16) & 0x8000u, magnitude = bits_of(x) & 0x7fffffffu;
    uint32_t bits;
    if (magnitude > 0x7f800000u) {
        bits = 0x7e00u;
    } else if (magnitude >= 0x477ff000u) { /* 65520 and more round to infinity */
        bits = 0x7c00u;
    } else if (magnitude < 0x38800000u) { /* below 2^-14 the spacing is 2^-24: adding 0.5 rounds to it */
        bits = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;
    } else {
        bits = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    }
    return {static_cast<uint16_t>(sign | bits)};
#endif
}

/* 2^x by the GPU's exponential unit, two units in the last place; results below 2^-126 are 0. */
SCAN_INLINE float ex2(float x) {
#ifdef __CUDA_ARCH__
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    const float y = exp2f(x);
    return y < 1.17549435e-38f ? 0.0f : y;
#endif
}

/* exp(-|x|), accurate relatively; 0 from |x| = 104 on. */
SCAN_INLINE float exp_of_minus(float x) {
    const float a = fmaxf(-fabsf(x), -104.0f);
    /* the product's rounding error would grow with |x|: it is computed and multiplied in afterwards */
    const float t = a * LOG2E;
    const float rest = fmaf(a, LOG2E_REST, fmaf(a, LOG2E, -t));
    const float e = ex2(t);
    return fmaf(e * rest, LN2, e);
}

/* log(1 + e) for e in [0, 1], relative error 2e-7: e times a polynomial, so that nothing cancels for small e. */
SCAN_INLINE float log1p_small(float e) {
    float p = 0.00536481850f;
    p = fmaf(p, e, -0.0300657693f);
    p = fmaf(p, e, 0.0792044997f);
    p = fmaf(p, e, -0.137537986f);
    p = fmaf(p, e, 0.191536531f);
    p = fmaf(p, e, -0.248571634f);
    p = fmaf(p, e, 0.333213240f);
    p = fmaf(p, e, -0.499996483f);
    p = fmaf(p, e, 1.0f);
    return p * e;
}

/* log(1 + exp(x)) without overflow or cancellation; above 20, and for NaN, x itself. */
SCAN_INLINE float softplus(float x) {
    const float y = fmaxf(x, 0.0f) + log1p_small(exp_of_minus(x));
    return x <= SOFTPLUS_LIMIT ? y : x;
}

/* The derivative of softplus: 1 above 20, else the logistic function. */
SCAN_INLINE float softplus_slope(float x) {
    const float e = exp_of_minus(x);
    const float y = (x >= 0.0f ? 1.0f : e) / (1.0f + e);
    return x <= SOFTPLUS_LIMIT ? y : (x != x ? x : 1.0f);
}

/* `upper ? a : b` as one instruction: of many such in a row the compiler would make a branch, and a warp that parts
 * would run the shuffles behind it twice. */
SCAN_INLINE float choose(bool upper, float a, float b) {
#ifdef __CUDA_ARCH__
    float y;
    asm("{.reg .pred p; setp.ne.s32 p, %3, 0; selp.f32 %0, %1, %2, p;}" : "=f"(y) : "f"(a), "f"(b), "r"(int(upper)));
    return y;
#else
    return upper ? a : b;
#endif
}

/* x, computed here and now: what follows from it is not moved out of the loop, where it would take registers. */
SCAN_INLINE int in_place(int x) {
#ifdef __CUDA_ARCH__
    asm volatile("" : "+r"(x));
#endif
    return x;
}

/* from + n * step for a constant n; said in bytes it is one multiply-add for the GPU. */
template <class T>
SCAN_INLINE T *ahead(T *from, int n, int step) {
    char *bytes = const_cast<char *>(reinterpret_cast<const char *>(from));
    return reinterpret_cast<T *>(bytes + static_cast<int64_t>(step) * static_cast<int>(n * sizeof(T)));
}

SCAN_INLINE int ceil_div(int a, int b) { return (a + b - 1) / b; }

SCAN_INLINE int smaller(int a, int b) { return a < b ? a : b; }

} /* namespace mambapro */
