/* B and C of a chunk of tokens: from global memory into registers, then as float32 into shared memory.
 *
 * A kernel has LANES x STATES places for states and a scan may have fewer. In the forward pass the places beyond
 * repeat states, and C is divided among the copies by powers of two, which is exact: so a step costs no test, and NaN
 * and infinities do in a copy what they do in the state (places filled with zeros would turn inf into inf * 0 = NaN).
 * In the backward pass the places beyond are zero. */
#pragma once

#include "scan_core.cuh"

namespace mambapro {

/* Which place lane `lane` holds its s-th state in: quads of neighbours, so that a lane reads 16 bytes at once and the
 * lanes of a channel read from different banks. */
template <int LANES, int STATES>
SCAN_INLINE int place_of(int lane, int s) {
    return STATES == 1 ? lane : (s / 4) * LANES * 4 + lane * 4 + s % 4;
}

/* What C is multiplied with in place `place`: 1 where the state stands once, else 1/2, 1/4, ... which sum up to 1. */
SCAN_INLINE float share_of(int place, int state, int places) {
    const int copy = place / state + (place + state < places ? 1 : 0);
    return float_of(static_cast<uint32_t>(127 - copy) << 23);
}

template <class T, int LANES, int STATES, int CHUNK, int THREADS, bool COPIES>
struct Maps {
    static constexpr int PLACES = LANES * STATES;
    static constexpr int WIDTH = 16 / static_cast<int>(sizeof(T)) < PLACES ? 16 / static_cast<int>(sizeof(T)) : PLACES;
    static constexpr int PER_TOKEN = PLACES / WIDTH;
    static constexpr int TASKS = 2 * CHUNK * PER_TOKEN;
    static constexpr int ITEMS = (TASKS + THREADS - 1) / THREADS;
    /* With one state per lane four tokens stand together; the rows of 16 lanes are padded against bank conflicts. */
    static constexpr int ROW = PLACES == 16 ? 76 : 4 * PLACES;
    static constexpr int FLOATS = STATES == 1 ? 2 * (CHUNK / 4) * ROW : 2 * CHUNK * PLACES;
    static_assert(STATES == 1 || STATES % 4 == 0, "lanes read quads");
    static_assert(THREADS % PER_TOKEN == 0, "a thread's place is the same in all its tasks");

    static constexpr int BYTES = WIDTH * static_cast<int>(sizeof(T));
    /* WIDTH elements as they lie in memory; in registers two of 16 bits share one. */
    struct alignas(BYTES < 4 ? 4 : BYTES) Vector {
        uint32_t words[BYTES < 4 ? 1 : BYTES / 4];

        SCAN_INLINE void set(int e, T x) {
            if constexpr (sizeof(T) == 4) {
                words[e] = bits_of(x);
            } else {
                words[e / 2] = e % 2 ? words[e / 2] | static_cast<uint32_t>(x.bits) << 16 : x.bits;
            }
        }
        SCAN_INLINE float get(int e) const {
            if constexpr (sizeof(T) == 4) {
                return float_of(words[e]);
            } else {
                return to_float(T{static_cast<uint16_t>(words[e / 2] >> (e % 2 * 16))});
            }
        }
    };
    struct alignas(16) Shared {
        float x[FLOATS];
    };

    const T *B, *C;
    Vector items[ITEMS];
    int thread, length, stride, state;
    int place, first;
    bool vectors;

    /* B and C of this sample and group; stride: elements from token to token. */
    SCAN_INLINE Maps(const T *b, const T *c, int thread_, int length_, int groups, int state_)
        : B(b), C(c), thread(thread_), length(length_), stride(groups * state_), state(state_) {
        place = thread % PER_TOKEN * WIDTH;
        first = place % state;
        const uintptr_t addresses = reinterpret_cast<uintptr_t>(B) | reinterpret_cast<uintptr_t>(C);
        vectors = BYTES >= 4 && state % WIDTH == 0 && addresses % sizeof(Vector) == 0;
    }

    SCAN_INLINE bool has_task(int i) const { return TASKS % THREADS == 0 || i * THREADS + thread < TASKS; }
    SCAN_INLINE bool is_C(int i) const { return i * THREADS + thread >= TASKS / 2; }
    SCAN_INLINE int token_of(int i) const { return (i * THREADS + thread) % (TASKS / 2) / PER_TOKEN; }

    /* Begins to load the chunk from token `start`; after the end the last token is repeated, which nobody reads. */
    SCAN_INLINE void load(int start) {
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            if (!has_task(i)) continue;
            const int64_t token = smaller(start + token_of(i), length - 1);
            const T *row = (is_C(i) ? C : B) + token * stride;
            if (!COPIES && place >= state) {
                items[i] = Vector{};
            } else if (vectors) {
                items[i] = *reinterpret_cast<const Vector *>(row + first);
            } else {
                int n = in_place(first);
#pragma unroll
                for (int e = 0; e < WIDTH; e++) {
                    items[i].set(e, COPIES || place + e < state ? row[n] : T{});
                    n = n + 1 == state ? 0 : n + 1;
                }
            }
        }
    }

    /* Writes what was loaded; between load and store lies a chunk's work, which hides the loads. */
    SCAN_INLINE void store(Shared &to) const {
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            if (!has_task(i)) continue;
            float x[WIDTH];
#pragma unroll
            for (int e = 0; e < WIDTH; e++) x[e] = items[i].get(e);
            if (COPIES && state != PLACES && is_C(i)) {
#pragma unroll
                for (int e = 0; e < WIDTH; e++) x[e] *= share_of(place + e, state, PLACES);
            }
            write(to, token_of(i), is_C(i), x);
        }
    }

    static SCAN_INLINE int quad(int token, bool c, int at) { return (c ? FLOATS / 2 : 0) + token / 4 * ROW + at * 4 + at / 8 * 8; }

    SCAN_INLINE void write(Shared &to, int token, bool c, const float (&x)[WIDTH]) const {
        if constexpr (STATES == 1) {
#pragma unroll
            for (int e = 0; e < WIDTH; e++) to.x[quad(token, c, place + e) + token % 4] = x[e];
        } else {
#pragma unroll
            for (int e = 0; e < WIDTH; e += 4)
                *reinterpret_cast<float4 *>(&to.x[(token * 2 + c) * PLACES + place + e]) = make_float4(x[e], x[e + 1], x[e + 2], x[e + 3]);
        }
    }

    /* B (or C) of four tokens from `token` on, where lanes have one state each. */
    static SCAN_INLINE float4 four_tokens(const Shared &from, int token, bool c, int lane) {
        return *reinterpret_cast<const float4 *>(&from.x[quad(token, c, lane)]);
    }

    /* B (or C) of the lane's states 4q to 4q + 3 for one token. */
    static SCAN_INLINE float4 four_states(const Shared &from, int token, bool c, int lane, int q) {
        return *reinterpret_cast<const float4 *>(&from.x[(token * 2 + c) * PLACES + (q * LANES + lane) * 4]);
    }
};

/* Sums y[t] over the LANES lanes of a channel; y[j * LANES] becomes the sum for token j * LANES + lane. */
template <int LANES, int TILE>
__device__ __forceinline__ void sum_over_lanes(float (&y)[TILE], int lane) {
#pragma unroll
    for (int bit = LANES / 2; bit > 0; bit /= 2) {
        const bool upper = lane & bit;
#pragma unroll
        for (int t = 0; t < TILE; t++) {
            /* tokens whose larger bits are settled already and whose own bit is 0; t + bit is the partner */
            if (t % LANES >= bit) continue;
            const float keep = choose(upper, y[t + bit], y[t]), give = choose(upper, y[t], y[t + bit]);
            y[t] = keep + __shfl_xor_sync(0xffffffffu, give, bit);
        }
    }
}

} /* namespace mambapro */
