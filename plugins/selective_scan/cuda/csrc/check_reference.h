/* For check.cu: inputs of a scan, and what the definition (../reference.py) makes of them in double precision. */
#pragma once

#include <cmath>
#include <random>
#include <vector>

#include "scan_core.cuh"
#include "scan_cuda.h"

namespace check {

using Shape = mambapro_scan_cuda_shape;
using Numbers = std::vector<double>;

enum { U, DELTA, A, B, C, D, BIAS, TENSORS };
const char *const NAMES[TENSORS] = {"u", "delta", "A", "B", "C", "D", "delta_bias"};
inline bool is_parameter(int tensor) { return tensor == A || tensor == D || tensor == BIAS; }

inline size_t size_of(const Shape &s, int tensor) {
    const size_t tokens = static_cast<size_t>(s.batch) * s.length;
    switch (tensor) {
        case A: return static_cast<size_t>(s.channels) * s.state;
        case B:
        case C: return tokens * s.groups * s.state;
        case D:
        case BIAS: return s.channels;
        default: return tokens * s.channels;
    }
}

/* A number as an array of I/O type `type` holds it. */
inline double rounded(double x, int type) {
    const float single = static_cast<float>(x);
    if (type == MAMBAPRO_CUDA_FLOAT16) return mambapro::to_float(mambapro::from_float<mambapro::fp16>(single));
    if (type == MAMBAPRO_CUDA_BFLOAT16) return mambapro::to_float(mambapro::from_float<mambapro::bf16>(single));
    return single;
}

struct Inputs {
    Numbers of[TENSORS], dy;

    explicit Inputs(const Shape &s) {
        std::mt19937 random(1);
        std::normal_distribution<double> normal;
        const auto draw = [&](size_t size, bool parameter) {
            Numbers x(size);
            for (double &value : x) value = rounded(normal(random), parameter ? MAMBAPRO_CUDA_FLOAT32 : s.type);
            return x;
        };
        for (int i = 0; i < TENSORS; i++) of[i] = draw(size_of(s, i), is_parameter(i));
        for (double &rate : of[A]) rate = rounded(-std::exp(rate), MAMBAPRO_CUDA_FLOAT32);
        dy = draw(size_of(s, U), false);
    }
};

/* One channel of one sample: its y, and with gradients to add to. */
class Channel {
public:
    Channel(const Shape &s, const Inputs &inputs, int sample, int channel)
        : s(s), x(inputs), sample(sample), channel(channel), group(channel / (s.channels / s.groups)),
          h(static_cast<size_t>(s.length + 1) * s.state) {}

    void forward(Numbers &y) {
        for (int t = 0; t < s.length; t++) {
            const double d = softplus(raw(t)), u = x.of[U][at(t)];
            double sum = x.of[D][channel] * u;
            for (int n = 0; n < s.state; n++) {
                h[(t + 1) * s.state + n] = std::exp(d * rate(n)) * h[t * s.state + n] + d * u * x.of[B][map(t, n)];
                sum += x.of[C][map(t, n)] * h[(t + 1) * s.state + n];
            }
            y[at(t)] = sum;
        }
    }

    void backward(Numbers (&to)[TENSORS]) const {
        Numbers carry(s.state);
        for (int t = s.length - 1; t >= 0; t--) {
            const double d = softplus(raw(t)), u = x.of[U][at(t)], dy = x.dy[at(t)];
            double gB = 0, Ae = 0;
            for (int n = 0; n < s.state; n++) {
                const double factor = std::exp(d * rate(n)), g = x.of[C][map(t, n)] * dy + carry[n];
                const double e = factor * h[t * s.state + n] * g;
                carry[n] = factor * g;
                gB += g * x.of[B][map(t, n)];
                Ae += rate(n) * e;
                to[A][channel * s.state + n] += d * e;
                to[B][map(t, n)] += d * u * g;
                to[C][map(t, n)] += dy * h[(t + 1) * s.state + n];
            }
            const double draw = (u * gB + Ae) * (raw(t) > 20 ? 1 : 1 / (1 + std::exp(-raw(t))));
            to[U][at(t)] = x.of[D][channel] * dy + d * gB;
            to[DELTA][at(t)] = draw;
            to[D][channel] += dy * u;
            to[BIAS][channel] += draw;
        }
    }

private:
    const Shape &s;
    const Inputs &x;
    int sample, channel, group;
    Numbers h; /* (1 + length, state) */

    static double softplus(double raw) { return raw > 20 ? raw : std::log1p(std::exp(raw)); }
    size_t row(int t) const { return static_cast<size_t>(sample) * s.length + t; }
    size_t at(int t) const { return row(t) * s.channels + channel; }
    size_t map(int t, int n) const { return (row(t) * s.groups + group) * s.state + n; }
    double rate(int n) const { return x.of[A][static_cast<size_t>(channel) * s.state + n]; }
    double raw(int t) const { return x.of[DELTA][at(t)] + x.of[BIAS][channel]; }
};

struct Expected {
    Numbers y, gradients[TENSORS];

    Expected(const Shape &s, const Inputs &inputs) : y(size_of(s, U)) {
        for (int i = 0; i < TENSORS; i++) gradients[i].resize(size_of(s, i));
        for (int sample = 0; sample < s.batch; sample++)
            for (int channel = 0; channel < s.channels; channel++) {
                Channel one(s, inputs, sample, channel);
                one.forward(y);
                one.backward(gradients);
            }
    }
};

/* The largest |found - expected|, as a share of the largest |expected|; infinite if something is not a number. */
inline double error_of(const Numbers &found, const Numbers &expected) {
    double worst = 0, largest = 1e-30;
    for (size_t i = 0; i < expected.size(); i++) {
        if (!std::isfinite(found[i])) return HUGE_VAL;
        worst = std::fmax(worst, std::fabs(found[i] - expected[i]));
        largest = std::fmax(largest, std::fabs(expected[i]));
    }
    return worst / largest;
}

} /* namespace check */
