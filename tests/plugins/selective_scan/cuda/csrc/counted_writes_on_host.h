/* The forward kernels on a type that counts how often each element of the output is written: a thread without a
 * channel of its own computes the last one's, and its writes would be seen neither in numbers nor in margins. */
#pragma once

#include "scan_forward.cuh"

namespace mambapro {

/* bf16; copying into `watched` counts. */
struct counted {
    uint16_t bits;
    counted &operator=(const counted &other);
};

inline counted *watched;
inline int64_t watched_size;
inline int32_t *writes;

inline counted &counted::operator=(const counted &other) {
    bits = other.bits;
    const int64_t place = this - watched;
    if (this >= watched && place < watched_size) writes[place]++;
    return *this;
}

SCAN_INLINE float to_float(counted x) { return to_float(bf16{x.bits}); }

template <>
SCAN_INLINE counted from_float<counted>(float x) {
    return {from_float<bf16>(x).bits};
}

} /* namespace mambapro */

SCAN_FORWARD(mambapro::counted, counted, 1, 16)
SCAN_FORWARD(mambapro::counted, counted, 4, 4)
SCAN_FORWARD(mambapro::counted, counted, 16, 1)

/* y (batch, length, channels) in bf16 of a scan of 16 states, and in `counts` how often each element was written. */
extern "C" int scan_counted_forward(
    const mambapro_scan_cuda_shape *shape, const void *u, const void *delta, const void *A, const void *B, const void *C,
    const void *D, const void *delta_bias, void *y, int lanes, int32_t *counts) {
    using namespace mambapro;
    mambapro_scan_cuda_shape s = *shape;
    if (s.state != 16) return -1;
    watched = static_cast<counted *>(y);
    watched_size = static_cast<int64_t>(s.batch) * s.length * s.channels;
    writes = counts;
    void *arguments[] = {&u, &delta, &A, &B, &C, &D, &delta_bias, &s.length, &s.channels, &s.groups, &s.state, &y};
    auto kernel = lanes == 1   ? SCAN_FORWARD_NAME(counted, 1, 16)
                  : lanes == 4 ? SCAN_FORWARD_NAME(counted, 4, 4)
                               : SCAN_FORWARD_NAME(counted, 16, 1);
    return launch(kernel, forward_grid(s, lanes), FORWARD_THREADS, nullptr, arguments);
}
