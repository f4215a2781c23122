/* Gradients of the selective scan in all seven inputs from dy; the equations: ../reference.py.
 *
 * VERSION 1  Sixteen lanes per channel as in scan_forward.cuh. A block walks its channels forwards once and notes the
 *            states at the borders of tiles of 16 tokens, then walks backwards and computes the states of one tile
 *            again, in registers. The decay factors are computed anew in each of the three passes: the exponential unit has
 *            time for it, registers are scarce. Every sum has a fixed order: no atomics.
 * VERSION 2  dB and dC are sums over channels. The two channels of a warp are added with one shuffle for both (one
 *            half keeps dB, the other dC), the warps of a block in shared memory, the blocks by a second kernel.
 * VERSION 3  Blocks of 16 channels where there is one state per lane (8 otherwise, for the sake of shared memory):
 *            half as many partial sums of dB and dC to write and read again.
 */
#pragma once

#include "scan_maps.cuh"

namespace mambapro {

constexpr int BACKWARD_TILE = 16;

/* States per lane and channels per block of the kernel that holds `state` states. */
SCAN_INLINE int backward_states(int state) { return state <= 16 ? 1 : 4; }
SCAN_INLINE int backward_channels(int state) { return state <= 16 ? 16 : 8; }

/* Where things lie in the workspace, in floats. cuda_kernels.py knows its size as well. */
struct Workspace {
    int tiles, blocks; /* blocks of one group */
    int64_t dA, dD, dbias, dB, dC, borders, floats;

    SCAN_INLINE Workspace(int batch, int length, int channels, int groups, int state) {
        const int held = backward_channels(state);
        tiles = ceil_div(length, BACKWARD_TILE);
        blocks = ceil_div(channels / groups, held);
        const int64_t all_channels = static_cast<int64_t>(batch) * channels;
        const int64_t all_blocks = static_cast<int64_t>(batch) * groups * blocks;
        dA = 0;                                   /* (batch, channels, state) */
        dD = dA + all_channels * state;           /* (batch, channels) */
        dbias = dD + all_channels;                /* (batch, channels) */
        dB = dbias + all_channels;                /* (batch, group, block, length, state) */
        dC = dB + all_blocks * length * state;    /* the same */
        borders = dC + all_blocks * length * state; /* (batch, group, block, tile, state of the lane, thread) */
        floats = borders + all_blocks * tiles * (held * 16 * backward_states(state));
    }
};

template <class T, int STATES>
struct Backward {
    static constexpr int LANES = 16, TILE = BACKWARD_TILE, PLACES = LANES * STATES;
    static constexpr int CHANNELS = STATES == 1 ? 16 : 8;
    static constexpr int THREADS = CHANNELS * LANES, WARPS = THREADS / 32;
    using Staging = Maps<T, LANES, STATES, TILE, THREADS, false>;

    struct Shared {
        typename Staging::Shared maps;
        /* For each warp, token and channel of the warp: d, d*u, dy, u. */
        float4 steps[WARPS][TILE][2];
        /* dB and dC of a warp's two channels. */
        alignas(16) float sums[WARPS][TILE][2][PLACES];
    };

    float A[STATES], decay[STATES]; /* decay: A log2(e) */
    int lane;

    SCAN_INLINE void read(const typename Staging::Shared &maps, int t, bool c, float (&x)[STATES]) const {
        if constexpr (STATES == 1) {
            x[0] = maps.x[Staging::quad(t, c, lane) + t % 4];
        } else {
            const float4 four = Staging::four_states(maps, t, c, lane, 0);
            x[0] = four.x, x[1] = four.y, x[2] = four.z, x[3] = four.w;
        }
    }

    /* h over a tile; visit(t, h) is called before each token. */
    template <class Visit>
    __device__ __forceinline__ void forwards(const Shared &shared, const float4 (*steps)[2], int channel, float (&h)[STATES], Visit visit) const {
#pragma unroll
        for (int t = 0; t < TILE; t++) {
            if (t % 4 == 0) __syncwarp(); /* for the compiler alone, see below */
            const float4 step = steps[t][channel];
            float b[STATES];
            read(shared.maps, t, false, b);
            visit(t, h);
#pragma unroll
            for (int s = 0; s < STATES; s++) h[s] = fmaf(ex2(step.x * decay[s]), h[s], step.y * b[s]);
        }
    }
};

/* What a lane reads of its own token; neutral beyond the end and beyond the group's channels. */
template <class T>
struct Token {
    float u, dy, raw, d;

    SCAN_INLINE Token(const T *u_, const T *delta, const T *dy_, int64_t at, bool there, float bias) {
        u = there ? to_float(u_[at]) : 0.0f;
        raw = there ? to_float(delta[at]) + bias : 0.0f;
        dy = there && dy_ ? to_float(dy_[at]) : 0.0f;
        d = there ? softplus(raw) : 0.0f;
    }
};

/* dB and dC of one token: lower lanes end with dB of both channels, upper ones with dC. */
template <int STATES>
__device__ __forceinline__ void sum_pair(float (&dB)[STATES], const float (&dC)[STATES], bool upper) {
#pragma unroll
    for (int s = 0; s < STATES; s++) {
        const float keep = choose(upper, dC[s], dB[s]), give = choose(upper, dB[s], dC[s]);
        dB[s] = keep + __shfl_xor_sync(0xffffffffu, give, 16);
    }
}

template <class T, int STATES>
__device__ __forceinline__ void scan_backward(
    const T *__restrict__ dy, const T *__restrict__ u, const T *__restrict__ delta, const float *__restrict__ A,
    const T *__restrict__ B, const T *__restrict__ C, const float *__restrict__ D, const float *__restrict__ delta_bias,
    int length, int channels, int groups, int state, float *workspace, T *__restrict__ du, T *__restrict__ ddelta,
    typename Backward<T, STATES>::Shared &shared) {
    using Kernel = Backward<T, STATES>;
    constexpr int TILE = Kernel::TILE, LANES = Kernel::LANES, THREADS = Kernel::THREADS;
    const Workspace places(gridDim.y, length, channels, groups, state);
    const int thread = threadIdx.x, warp = thread / 32, pair = thread % 32 / LANES;
    const int per_group = channels / groups;
    const int group = blockIdx.x / places.blocks;
    const int in_group = blockIdx.x % places.blocks * Kernel::CHANNELS + thread / LANES;
    const bool inside = in_group < per_group;
    const int channel = group * per_group + smaller(in_group, per_group - 1);
    const int64_t sample = static_cast<int64_t>(blockIdx.y) * length;
    const int64_t block = static_cast<int64_t>(blockIdx.y) * gridDim.x + blockIdx.x;

    Kernel k;
    k.lane = thread % LANES;
    const float skip = D[channel], bias = delta_bias[channel];
#pragma unroll
    for (int s = 0; s < STATES; s++) {
        const int n = place_of<LANES, STATES>(k.lane, s);
        k.A[s] = n < state ? A[static_cast<int64_t>(channel) * state + n] : 0.0f;
        k.decay[s] = k.A[s] * LOG2E;
    }
    const int64_t maps = (sample * groups + group) * state;
    typename Kernel::Staging staging(B + maps, C + maps, thread, length, groups, state);
    float4(*steps)[2] = shared.steps[warp];
    float *borders = workspace + places.borders + block * places.tiles * (THREADS * STATES) + thread;

    /* forwards: states at the borders */
    float h[STATES] = {};
    staging.load(0);
    staging.store(shared.maps);
    __syncthreads();
    for (int tile = 0; tile + 1 < places.tiles; tile++) {
        const int token = tile * TILE + k.lane;
        staging.load((tile + 1) * TILE);
        const Token<T> own(u, delta, nullptr, (sample + token) * channels + channel, inside, bias);
        __syncwarp();
        steps[k.lane][pair] = make_float4(own.d, own.d * own.u, 0.0f, 0.0f);
        __syncwarp();
        k.forwards(shared, steps, pair, h, [](int, const float *) {});
#pragma unroll
        for (int s = 0; s < STATES; s++) borders[((tile + 1) * STATES + s) * static_cast<int64_t>(THREADS)] = h[s];
        __syncthreads();
        staging.store(shared.maps);
        __syncthreads();
    }

    /* backwards */
    float carry[STATES] = {}, dA[STATES] = {}, dD = 0.0f, dbias = 0.0f;
    for (int tile = places.tiles - 1; tile >= 0; tile--) {
        const int token = tile * TILE + k.lane;
        const int64_t at = (sample + token) * channels + channel;
        const bool there = inside && token < length;
        const Token<T> own(u, delta, dy, at, there, bias);
        __syncwarp();
        steps[k.lane][pair] = make_float4(own.d, own.d * own.u, own.dy, own.u);
        __syncwarp();
#pragma unroll
        for (int s = 0; s < STATES; s++)
            h[s] = tile > 0 ? borders[(tile * STATES + s) * static_cast<int64_t>(THREADS)] : 0.0f;
        float before[TILE][STATES];
        k.forwards(shared, steps, pair, h, [&](int t, const float *state_before) {
#pragma unroll
            for (int s = 0; s < STATES; s++) before[t][s] = state_before[s];
        });
        /* g B and A e, summed over the states: the lane's share */
        float gB[TILE], Ae[TILE];
#pragma unroll
        for (int t = TILE - 1; t >= 0; t--) {
            /* For the compiler alone: otherwise it sees that the factors are those it had, or loads all of B and C at
             * once, and either way has too few registers. */
            if (t % 4 == 3) __syncwarp();
            const float4 step = steps[t][pair];
            float b[STATES], c[STATES], dB[STATES], dC[STATES];
            k.read(shared.maps, t, false, b);
            k.read(shared.maps, t, true, c);
            gB[t] = Ae[t] = 0.0f;
#pragma unroll
            for (int s = 0; s < STATES; s++) {
                const float g = fmaf(c[s], step.z, carry[s]);
                const float factor = ex2(step.x * k.decay[s]);
                const float kept = factor * before[t][s], e = kept * g;
                carry[s] = factor * g;
                gB[t] = fmaf(g, b[s], gB[t]);
                Ae[t] = fmaf(k.A[s], e, Ae[t]);
                dA[s] = fmaf(step.x, e, dA[s]);
                dB[s] = step.y * g;
                dC[s] = step.z * fmaf(step.y, b[s], kept);
            }
            sum_pair(dB, dC, pair);
            float *to = &shared.sums[warp][t][pair][place_of<LANES, STATES>(k.lane, 0)];
            if constexpr (STATES == 1) {
                *to = dB[0];
            } else {
                *reinterpret_cast<float4 *>(to) = make_float4(dB[0], dB[1], dB[2], dB[3]);
            }
        }
        sum_over_lanes<LANES>(gB, k.lane);
        sum_over_lanes<LANES>(Ae, k.lane);
        /* earlier there are no registers to hold the next B and C */
        if (tile > 0) staging.load((tile - 1) * TILE);
        /* read again, to spare registers in between: d, -, dy, u */
        const float4 mine = steps[k.lane][pair];
        const float draw = fmaf(mine.w, gB[0], Ae[0]) * softplus_slope(own.raw);
        if (there) {
            du[at] = from_float<T>(fmaf(skip, mine.z, mine.x * gB[0]));
            ddelta[at] = from_float<T>(draw);
            dD = fmaf(mine.z, mine.w, dD);
            dbias += draw;
        }
        __syncthreads();
        /* the block's dB and dC; warps in order */
#pragma unroll 1
        for (int i = thread; i < TILE * 2 * Kernel::PLACES; i += THREADS) {
            const int t = i / (2 * Kernel::PLACES), n = i % Kernel::PLACES;
            const bool c = i / Kernel::PLACES % 2;
            float sum = 0.0f;
#pragma unroll
            for (int w = 0; w < Kernel::WARPS; w++) sum += shared.sums[w][t][c][n];
            if (n < state && tile * TILE + t < length)
                workspace[(c ? places.dC : places.dB) + (block * length + tile * TILE + t) * state + n] = sum;
        }
        if (tile > 0) staging.store(shared.maps);
        __syncthreads();
    }

    /* sums over the sample's tokens: the second kernel adds the samples */
    const int64_t row = static_cast<int64_t>(blockIdx.y) * channels + channel;
#pragma unroll
    for (int s = 0; s < STATES; s++) {
        const int n = place_of<LANES, STATES>(k.lane, s);
        if (inside && n < state) workspace[places.dA + row * state + n] = dA[s];
    }
#pragma unroll
    for (int bit = LANES / 2; bit > 0; bit /= 2) {
        dD += __shfl_xor_sync(0xffffffffu, dD, bit);
        dbias += __shfl_xor_sync(0xffffffffu, dbias, bit);
    }
    if (inside && k.lane == 0) {
        workspace[places.dD + row] = dD;
        workspace[places.dbias + row] = dbias;
    }
}

/* Element `i` of `out`: the sum of `count` parts that lie `inner` elements apart; parts are (outer, count, inner). */
SCAN_INLINE float sum_of_parts(const float *parts, int64_t outer, int count, int64_t inner, int64_t i) {
    const float *part = parts + outer * count * inner + i;
    float sum = 0.0f;
    for (int k = 0; k < count; k++) sum += part[k * inner];
    return sum;
}

/* The second kernel: what blockIdx.y names, a thread for each element. */
template <class T>
SCAN_INLINE void scan_sums(
    int job, int64_t i, const float *workspace, int batch, int length, int channels, int groups, int state, float *dA,
    T *dB, T *dC, float *dD, float *dbias) {
    const Workspace places(batch, length, channels, groups, state);
    const int64_t per_group = static_cast<int64_t>(length) * state;
    if (job < 2 && i < batch * groups * per_group) {
        /* i runs over (batch, group, token, state); the output is (batch, token, group, state) */
        const int64_t outer = i / per_group, inner = i % per_group;
        const int64_t to = ((outer / groups * length + inner / state) * groups + outer % groups) * state + inner % state;
        const float sum = sum_of_parts(workspace + (job ? places.dC : places.dB), outer, places.blocks, per_group, inner);
        (job ? dC : dB)[to] = from_float<T>(sum);
    } else if (job == 2 && i < static_cast<int64_t>(channels) * state) {
        dA[i] = sum_of_parts(workspace + places.dA, 0, batch, static_cast<int64_t>(channels) * state, i);
    } else if (job > 2 && i < channels) {
        (job == 3 ? dD : dbias)[i] = sum_of_parts(workspace + (job == 3 ? places.dD : places.dbias), 0, batch, channels, i);
    }
}

constexpr int SUM_THREADS = 256, SUM_JOBS = 5;

} /* namespace mambapro */

#define SCAN_BACKWARD_NAME(TYPE, STATES) selective_scan_backward_##TYPE##_s##STATES
#define SCAN_BACKWARD_ARGUMENTS(T)                                                                                     \
    const T *__restrict__ dy, const T *__restrict__ u, const T *__restrict__ delta, const float *__restrict__ A,        \
        const T *__restrict__ B, const T *__restrict__ C, const float *__restrict__ D,                                  \
        const float *__restrict__ delta_bias, int length, int channels, int groups, int state,                          \
        float *__restrict__ workspace, T *__restrict__ du, T *__restrict__ ddelta
#define SCAN_BACKWARD(T, TYPE, STATES)                                                                                 \
    extern "C" __global__ void __launch_bounds__(STATES == 1 ? 256 : 128, 2)                                           \
        SCAN_BACKWARD_NAME(TYPE, STATES)(SCAN_BACKWARD_ARGUMENTS(T)) {                                                 \
        using Kernel = mambapro::Backward<T, STATES>;                                                                  \
        SCAN_SHARED(typename Kernel::Shared, shared);                                                                  \
        mambapro::scan_backward<T, STATES>(                                                                            \
            dy, u, delta, A, B, C, D, delta_bias, length, channels, groups, state, workspace, du, ddelta, shared);     \
    }
#define SCAN_SUMS_NAME(TYPE) selective_scan_sums_##TYPE
#define SCAN_SUMS_ARGUMENTS(T)                                                                                         \
    const float *__restrict__ workspace, int batch, int length, int channels, int groups, int state,                    \
        float *__restrict__ dA, T *__restrict__ dB, T *__restrict__ dC, float *__restrict__ dD,                         \
        float *__restrict__ dbias
#define SCAN_SUMS(T, TYPE)                                                                                             \
    extern "C" __global__ void __launch_bounds__(256) SCAN_SUMS_NAME(TYPE)(SCAN_SUMS_ARGUMENTS(T)) {                   \
        const int64_t i = static_cast<int64_t>(blockIdx.x) * 256 + threadIdx.x;                                        \
        mambapro::scan_sums<T>(                                                                                        \
            blockIdx.y, i, workspace, batch, length, channels, groups, state, dA, dB, dC, dD, dbias);                  \
    }
