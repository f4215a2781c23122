/* Forward pass of the selective scan, y from u, delta, A, B, C, D and delta_bias. Contract and letters: ../schema.py.
 *
 * VERSION 1  One thread per channel, tokens in order, its states in registers. B and C are read from global memory by
 *            every thread; expf and log1pf. Bound by instructions: 196 for a token of 16 states.
 * VERSION 2  A is multiplied by log2(e) beforehand and the decay is one ex2.approx instruction. B and C come through
 *            shared memory as float32, one conversion for all channels of a block. About 105 instructions: now the
 *            exponential unit (16 results a clock in each multiprocessor) is the limit, as it must be.
 * VERSION 3  The states of a channel are shared by 1, 4 or 16 lanes, chosen by the work at hand: at batch 1 a thousand
 *            channels are only 32 warps, and a card has over 500 schedulers. The lanes read different tokens of a tile
 *            and compute the softplus of their own, so that it costs no more than with one lane.
 * VERSION 4  The sum over lanes: not log2(LANES) shuffles for every token, but for a whole tile at once by halving, the
 *            lanes exchanging the tokens they do not keep: 15 shuffles for 16 tokens and 16 lanes instead of 64, and
 *            each lane ends with the sum of the token it has read and writes it.
 * VERSION 5  d and d*u go from lane to lane through shared memory, 16 bytes for two tokens, instead of two shuffles a
 *            token; with 16 lanes B and C stand as quads of four tokens. Shuffles and shared memory are one pipe for
 *            the whole multiprocessor, and with 16 lanes it was the limit: from 5 accesses a token to less than 3.
 * VERSION 6  B and C are double buffered, the next chunk waits in registers: one barrier per chunk. u and delta of the
 *            next tile are loaded a tile ahead. Only loads and stores test for the end: what a lane computes beyond
 *            the last token or channel is finite or not, and nobody reads it.
 *
 * Not taken: splitting time into chunks that run in parallel (it doubles the exponentials), ratios of cumulative
 * products (they overflow), polynomials in place of some of the exponentials (more instructions than they save).
 */
#pragma once

#include "scan_maps.cuh"

namespace mambapro {

constexpr int FORWARD_THREADS = 128;

template <class T, int LANES, int STATES>
struct Forward {
    /* Tokens of a tile; each lane reads and writes OWN of them: lane, lane + LANES, ... */
    static constexpr int TILE = LANES == 1 || LANES * STATES > 16 && LANES == 4 ? 8 : 16;
    static constexpr int OWN = TILE / LANES;
    static constexpr int CHUNK = LANES * STATES > 16 ? 16 : 32;
    static constexpr int CHANNELS = FORWARD_THREADS / LANES;
    static constexpr int WARP_CHANNELS = 32 / LANES;

    using Staging = Maps<T, LANES, STATES, CHUNK, FORWARD_THREADS, true>;

    struct Shared {
        typename Staging::Shared maps[2];
        /* For each warp, pair of tokens and channel: d and d*u of the one and of the other. */
        float4 steps[LANES == 1 ? 1 : FORWARD_THREADS / 32][TILE / 2][WARP_CHANNELS];
    };

    /* What a lane keeps of its channel. */
    float decay[STATES], h[STATES];
    float skip, bias;
    int lane;

    /* h and the lane's share of y, for one token. */
    SCAN_INLINE float step(float d, float x, const float (&b)[STATES], const float (&c)[STATES]) {
        /* two sums where one would be a long chain of additions that wait for each other */
        constexpr int SUMS = STATES == 16 ? 2 : 1;
        float y[SUMS] = {};
#pragma unroll
        for (int s = 0; s < STATES; s++) {
            h[s] = fmaf(ex2(d * decay[s]), h[s], x * b[s]);
            y[s % SUMS] = fmaf(c[s], h[s], y[s % SUMS]);
        }
        return SUMS == 1 ? y[0] : y[0] + y[SUMS - 1];
    }

    /* All tokens of a tile: y[t] becomes the lane's share of y. */
    SCAN_INLINE void steps(const typename Staging::Shared &maps, int start, const float4 (*pairs)[WARP_CHANNELS], int channel,
                           const float (&d)[OWN], const float (&x)[OWN], float (&y)[TILE]) {
        float b[4 * STATES], c[4 * STATES];
#pragma unroll
        for (int t = 0; t < TILE; t++) {
            float bt[STATES], ct[STATES];
            if constexpr (STATES == 1) {
                if (t % 4 == 0) {
                    unpack(Staging::four_tokens(maps, start + t, false, lane), b);
                    unpack(Staging::four_tokens(maps, start + t, true, lane), c);
                }
                bt[0] = b[t % 4];
                ct[0] = c[t % 4];
            } else {
#pragma unroll
                for (int q = 0; q < STATES / 4; q++) {
                    unpack(Staging::four_states(maps, start + t, false, lane, q), bt + 4 * q);
                    unpack(Staging::four_states(maps, start + t, true, lane, q), ct + 4 * q);
                }
            }
            if constexpr (LANES == 1) {
                y[t] = step(d[t], x[t], bt, ct);
            } else {
                const float4 pair = pairs[t / 2][channel];
                y[t] = t % 2 ? step(pair.z, pair.w, bt, ct) : step(pair.x, pair.y, bt, ct);
            }
        }
    }

    static SCAN_INLINE void unpack(float4 from, float *to) {
        to[0] = from.x, to[1] = from.y, to[2] = from.z, to[3] = from.w;
    }
};

template <class T, int LANES, int STATES>
__device__ __forceinline__ void scan_forward(
    const T *__restrict__ u, const T *__restrict__ delta, const float *__restrict__ A, const T *__restrict__ B,
    const T *__restrict__ C, const float *__restrict__ D, const float *__restrict__ delta_bias, int length, int channels,
    int groups, int state, T *__restrict__ y, typename Forward<T, LANES, STATES>::Shared &shared) {
    using Kernel = Forward<T, LANES, STATES>;
    constexpr int TILE = Kernel::TILE, OWN = Kernel::OWN, CHUNK = Kernel::CHUNK;
    const int thread = threadIdx.x;
    const int per_group = channels / groups, blocks = ceil_div(per_group, Kernel::CHANNELS);
    const int group = blockIdx.x / blocks;
    const int in_group = blockIdx.x % blocks * Kernel::CHANNELS + thread / LANES;
    const int channel = group * per_group + smaller(in_group, per_group - 1);
    const int64_t sample = static_cast<int64_t>(blockIdx.y) * length;

    Kernel k;
    k.lane = thread % LANES;
    k.skip = D[channel];
    k.bias = delta_bias[channel];
#pragma unroll
    for (int s = 0; s < STATES; s++) {
        k.decay[s] = A[static_cast<int64_t>(channel) * state + place_of<LANES, STATES>(k.lane, s) % state] * LOG2E;
        k.h[s] = 0.0f;
    }
    /* from here on at the lane's first token of a tile; the next ones are `step` elements apart */
    const int64_t at = (sample + k.lane) * channels + channel;
    const int step = LANES * channels;
    u += at;
    delta += at;
    y += at;
    const int64_t maps = (sample * groups + group) * state;
    typename Kernel::Staging staging(B + maps, C + maps, thread, length, groups, state);
    staging.load(0);

    T next_u[OWN] = {}, next_delta[OWN] = {};
#pragma unroll
    for (int j = 0; j < OWN; j++) {
        if (j * LANES + k.lane < length) {
            next_u[j] = *ahead(u, j, step);
            next_delta[j] = *ahead(delta, j, step);
        }
    }
    staging.store(shared.maps[0]);
    __syncthreads();

    for (int chunk = 0, buffer = 0; chunk < length; chunk += CHUNK, buffer ^= 1) {
        const bool more = chunk + CHUNK < length;
        if (more) staging.load(chunk + CHUNK);
#pragma unroll 1
        for (int tile = chunk; tile < smaller(chunk + CHUNK, length); tile += TILE) {
            float own_u[OWN], d[OWN], x[OWN], sums[TILE];
            u = ahead(u, OWN, step);
            delta = ahead(delta, OWN, step);
#pragma unroll
            for (int j = 0; j < OWN; j++) {
                own_u[j] = to_float(next_u[j]);
                d[j] = softplus(to_float(next_delta[j]) + k.bias);
                x[j] = d[j] * own_u[j];
                /* beyond the end the last values stay: finite or not, nothing comes after them */
                if (tile + TILE + j * LANES + k.lane < length) {
                    next_u[j] = *ahead(u, j, step);
                    next_delta[j] = *ahead(delta, j, step);
                }
            }
            float4(*pairs)[Kernel::WARP_CHANNELS] = shared.steps[LANES == 1 ? 0 : thread / 32];
            const int place = thread % 32 / LANES;
            if constexpr (LANES > 1) {
                __syncwarp();
#pragma unroll
                for (int j = 0; j < OWN; j++) {
                    const int t = j * LANES + k.lane;
                    reinterpret_cast<float2 *>(&pairs[t / 2][place])[t % 2] = make_float2(d[j], x[j]);
                }
                __syncwarp();
            }
            k.steps(shared.maps[buffer], tile - chunk, pairs, place, d, x, sums);
            sum_over_lanes<LANES>(sums, k.lane);
#pragma unroll
            for (int j = 0; j < OWN; j++) {
                if (tile + j * LANES + k.lane < length && in_group < per_group)
                    *ahead(y, j, step) = from_float<T>(fmaf(k.skip, own_u[j], sums[j * LANES]));
            }
            y = ahead(y, OWN, step);
        }
        if (more) staging.store(shared.maps[buffer ^ 1]);
        __syncthreads();
    }
}

} /* namespace mambapro */

/* A kernel with the argument order of TensorRT's ahead-of-time plugins: input pointers, int32 sizes, output pointers. */
#define SCAN_FORWARD_NAME(TYPE, LANES, STATES) selective_scan_forward_##TYPE##_l##LANES##_s##STATES
#define SCAN_FORWARD_ARGUMENTS(T)                                                                                      \
    const T *__restrict__ u, const T *__restrict__ delta, const float *__restrict__ A, const T *__restrict__ B,         \
        const T *__restrict__ C, const float *__restrict__ D, const float *__restrict__ delta_bias, int length,         \
        int channels, int groups, int state, T *__restrict__ y
#define SCAN_FORWARD(T, TYPE, LANES, STATES)                                                                           \
    extern "C" __global__ void __launch_bounds__(128, LANES * STATES > 16 ? 3 : 4)                                     \
        SCAN_FORWARD_NAME(TYPE, LANES, STATES)(SCAN_FORWARD_ARGUMENTS(T)) {                                            \
        using Kernel = mambapro::Forward<T, LANES, STATES>;                                                            \
        SCAN_SHARED(typename Kernel::Shared, shared);                                                                  \
        mambapro::scan_forward<T, LANES, STATES>(                                                                      \
            u, delta, A, B, C, D, delta_bias, length, channels, groups, state, y, shared);                             \
    }
/* Every kernel there is for one I/O type; cuda_kernels.py has the same list. */
#define SCAN_FOR_EACH_INSTANCE(DO, T, TYPE)                                                                            \
    DO(T, TYPE, 1, 1) DO(T, TYPE, 1, 4) DO(T, TYPE, 1, 16) DO(T, TYPE, 4, 1) DO(T, TYPE, 4, 4) DO(T, TYPE, 4, 16)      \
    DO(T, TYPE, 16, 1) DO(T, TYPE, 16, 4)
