/* CUDA's execution model on the host, for tests: the very kernel sources, compiled by a C++ compiler, run with their
 * own indices, barriers, shuffles and shared memory.
 *
 * The threads of a block are fibers, blocks run one after the other. A fiber runs until it waits for others, and which
 * one runs next is a choice (order): a kernel that lacks a barrier gives another result in another order. Shared memory is
 * NaN when a block begins. What cannot happen on a GPU either (half a warp at a shuffle, the rest at a barrier) aborts. */
#pragma once

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <memory>
#include <type_traits>
#include <utility>

#define MAMBAPRO_CUDA_ON_HOST
#define __host__
#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define SCAN_SHARED(type, name)                                                                                        \
    static_assert(sizeof(type) <= 48 * 1024, "more static shared memory than a block may have");                      \
    type &name = *reinterpret_cast<type *>(cuda_on_host::shared_memory)

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

namespace cuda_on_host {

constexpr int WARP = 32, MAX_THREADS = 256, MULTIPROCESSORS = 4;
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t STACK = 1 << 20;
#else
constexpr size_t STACK = 1 << 16;
#endif

struct Index {
    unsigned x, y, z;
};

enum Waits { FOR_NOTHING, FOR_WARP, FOR_BLOCK, DONE };

struct Thread {
    Index index;
    Waits waits;
    int operation;    /* what it waits for in its warp: all must wait for the same */
    unsigned meetings; /* how often it has met its warp */
    float given[2];   /* what it gave at the last even and odd meeting */
    ucontext_t start;
    jmp_buf here;
    bool begun;
};

/* Orders in which threads run between barriers. */
enum Order { ALL_IN_TURN, WARP_BY_WARP_BACKWARDS, SHUFFLED };

inline Order order = ALL_IN_TURN;
inline Thread threads[MAX_THREADS];
inline int thread_count;
inline Thread *current;
inline Index block_index, grid_size;
inline jmp_buf scheduler;
inline ucontext_t scheduler_context;
inline std::unique_ptr<char[]> stacks;
alignas(128) inline char shared_memory[48 * 1024];
inline void (*block_body)(void *);
inline void *block_argument;

[[noreturn]] inline void stop(const char *why) {
    fprintf(stderr, "cuda_on_host: block %u %u: %s\n", block_index.x, block_index.y, why);
    abort();
}

#if defined(__SANITIZE_ADDRESS__)
/* the sanitizer knows swapcontext, and would take longjmp between stacks for an error */
inline void suspend() { swapcontext(&current->start, &scheduler_context); }
inline void resume(Thread *thread) {
    current = thread;
    swapcontext(&scheduler_context, &thread->start);
}
#else
__attribute__((noinline)) inline void suspend() {
    if (!_setjmp(current->here)) _longjmp(scheduler, 1);
}
__attribute__((noinline)) inline void resume(Thread *thread) {
    current = thread;
    if (_setjmp(scheduler)) return;
    if (thread->begun) _longjmp(thread->here, 1);
    thread->begun = true;
    setcontext(&thread->start);
}
#endif

inline void wait(Waits what, int operation) {
    current->waits = what;
    current->operation = operation;
    suspend();
}

inline void thread_main() {
    block_body(block_argument);
    wait(DONE, 0);
}

/* All of a warp (or block) wait for the same: they may go on. */
inline bool release(int first, int count, Waits what) {
    for (int i = first; i < first + count; i++)
        if (threads[i].waits != what) return false;
    for (int i = first; i < first + count; i++) {
        if (threads[i].operation != threads[first].operation) stop("threads of a warp wait for different operations");
        threads[i].waits = FOR_NOTHING;
    }
    return true;
}

inline unsigned random_number() {
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<unsigned>(state >> 33);
}

/* Runs each of these threads until it waits. */
inline void run_once(int first, int count) {
    int turn[MAX_THREADS];
    for (int i = 0; i < count; i++) turn[i] = first + (order == WARP_BY_WARP_BACKWARDS ? count - 1 - i : i);
    if (order == SHUFFLED)
        for (int i = count - 1; i > 0; i--) std::swap(turn[i], turn[random_number() % (i + 1)]);
    for (int i = 0; i < count; i++)
        if (threads[turn[i]].waits == FOR_NOTHING) resume(&threads[turn[i]]);
}

/* Runs all warps, or one alone, until nobody can go on without the rest of the block. */
inline void run_to_barrier(int first, int count) {
    bool again = true;
    while (again) {
        run_once(first, count);
        again = false;
        for (int warp = first; warp < first + count; warp += WARP) again |= release(warp, WARP, FOR_WARP);
    }
}

inline void run_block() {
    memset(shared_memory, 0xff, sizeof shared_memory); /* as float: NaN */
    for (int i = 0; i < thread_count; i++) {
        Thread &thread = threads[i];
        thread.index = {static_cast<unsigned>(i), 0, 0};
        thread.waits = FOR_NOTHING;
        thread.meetings = 0;
        thread.begun = false;
        getcontext(&thread.start);
        thread.start.uc_stack = {stacks.get() + i * STACK, 0, STACK};
        thread.start.uc_link = nullptr;
        makecontext(&thread.start, thread_main, 0);
    }
    for (;;) {
        if (order == WARP_BY_WARP_BACKWARDS) {
            for (int warp = thread_count - WARP; warp >= 0; warp -= WARP) run_to_barrier(warp, WARP);
        } else {
            run_to_barrier(0, thread_count);
        }
        bool done = true;
        for (int i = 0; i < thread_count; i++) done &= threads[i].waits == DONE;
        if (done) return;
        if (!release(0, thread_count, FOR_BLOCK)) stop("threads wait for each other in vain");
    }
}

/* A kernel with its arguments as cudaLaunchKernel takes them. */
template <class... P, size_t... I>
void call(void (*kernel)(P...), void **arguments, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_reference_t<P> *>(arguments[I])...);
}

template <class... P>
void run(void (*kernel)(P...), unsigned blocks_x, unsigned blocks_y, int block_size, void **arguments) {
    struct Call {
        void (*kernel)(P...);
        void **arguments;
    } now = {kernel, arguments};
    if (block_size > MAX_THREADS || block_size % WARP) stop("a block size that is not emulated");
    if (!stacks) stacks.reset(new char[MAX_THREADS * STACK]);
    thread_count = block_size;
    grid_size = {blocks_x, blocks_y, 1};
    block_argument = &now;
    block_body = [](void *argument) {
        const Call *c = static_cast<Call *>(argument);
        call(c->kernel, c->arguments, std::index_sequence_for<P...>{});
    };
    for (unsigned y = 0; y < blocks_y; y++)
        for (unsigned x = 0; x < blocks_x; x++) {
            block_index = {x, y, 0};
            run_block();
        }
    block_argument = nullptr;
}

enum Operation { SYNC = -1 };

/* Waits for the warp; returns what `lane` gave. */
inline float meet(float give, int lane, int operation) {
    Thread *self = current;
    const unsigned slot = self->meetings++ % 2;
    self->given[slot] = give;
    wait(FOR_WARP, operation);
    return threads[(self->index.x & ~(WARP - 1u)) + lane].given[slot];
}

} /* namespace cuda_on_host */

#define threadIdx (cuda_on_host::current->index)
#define blockIdx cuda_on_host::block_index
#define gridDim cuda_on_host::grid_size

inline void __syncthreads() { cuda_on_host::wait(cuda_on_host::FOR_BLOCK, 0); }

inline void __syncwarp() { cuda_on_host::meet(0.0f, 0, cuda_on_host::SYNC); }

inline float __shfl_xor_sync(unsigned mask, float give, int bits) {
    if (mask != 0xffffffffu) cuda_on_host::stop("a shuffle of part of a warp");
    return cuda_on_host::meet(give, (threadIdx.x % cuda_on_host::WARP) ^ bits, bits);
}
