// The selective scan on CPUs: see scan_cpu.h.
//
// scan_cpu_kernel.inc is compiled once for each instruction set of the processor family, and the best one that the
// machine has is chosen when the library is loaded. Work is cut into tasks by the shape alone, so results do not depend
// on the number of threads. Denormal numbers count as zero inside a task: states decay towards zero, and processors are
// a hundred times slower on denormal numbers.

#include "scan_cpu.h"

#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

constexpr int kMaxState = 64;
// Vectors in a task of the backward pass, at most
constexpr int kMaxBlock = 8;

struct Call {
    mambapro_scan_shape shape;
    const void *u, *delta, *A, *B, *C, *D, *bias; // B and C widened to the type of the sums
    void *y;
    const void *dy;
    void *du, *ddelta, *dA, *dB, *dC, *dD, *dbias;
    void *part_A, *part_B, *part_C, *part_D, *part_bias;
    int block;
};

// Kernels of one instruction set for one type
struct Kernel {
    int width;
    void (*widen)(const void *, void *, int64_t);
    void (*forward)(const Call &, int64_t);
    int64_t (*scratch_bytes)(const Call &);
    void (*backward)(const Call &, int64_t, char *);
    void (*finish_maps)(const Call &, int64_t);
    void (*sum_samples)(const void *, int64_t, int64_t, void *);
};

struct InstructionSet {
    const char *name;
    bool (*runs_here)();
    Kernel kernels[4]; // by MAMBAPRO_FLOAT32 and so on
};

#define MAMBAPRO_KERNEL(T)                                                                       \
    {                                                                                            \
        sizeof(T::vector) / sizeof(T::number), widen<T>, forward_task<T>, scratch_bytes<T>,      \
            backward_task<T>, finish_maps<T>, sum_samples<T::number>                             \
    }
#define MAMBAPRO_KERNELS                                                                                     \
    {                                                                                                        \
        MAMBAPRO_KERNEL(Float32), MAMBAPRO_KERNEL(Float16), MAMBAPRO_KERNEL(BFloat16), MAMBAPRO_KERNEL(Float64) \
    }

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
#endif
namespace avx512 {
#define LANES 16
#define MAMBAPRO_AVX512
#include "scan_cpu_kernel.inc"
#include "scan_cpu_backward.inc"
#undef MAMBAPRO_AVX512
#undef LANES
bool runs_here() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
const InstructionSet set = {"avx512", runs_here, MAMBAPRO_KERNELS};
}
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
namespace avx2 {
#define LANES 8
#define MAMBAPRO_AVX2
#include "scan_cpu_kernel.inc"
#include "scan_cpu_backward.inc"
#undef MAMBAPRO_AVX2
#undef LANES
bool runs_here() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
const InstructionSet set = {"avx2", runs_here, MAMBAPRO_KERNELS};
}
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

// Four floats: SSE2 on x86-64, NEON on ARM, generic code elsewhere
namespace portable {
#define LANES 4
#include "scan_cpu_kernel.inc"
#include "scan_cpu_backward.inc"
#undef LANES
bool runs_here() { return true; }
#if defined(__aarch64__)
const InstructionSet set = {"neon", runs_here, MAMBAPRO_KERNELS};
#else
const InstructionSet set = {"plain", runs_here, MAMBAPRO_KERNELS};
#endif
}

const InstructionSet *const kSets[] = {
#if defined(__x86_64__)
    &avx512::set, &avx2::set,
#endif
    &portable::set};

const InstructionSet *best() {
    for (const InstructionSet *set : kSets)
        if (set->runs_here()) return set;
    return &portable::set;
}
std::atomic<const InstructionSet *> chosen{best()};

// Denormal numbers count as zero while it lives
class FlushDenormals {
#if defined(__x86_64__)
    unsigned before_ = _mm_getcsr();

public:
    FlushDenormals() { _mm_setcsr(before_ | 0x8040); }
    ~FlushDenormals() { _mm_setcsr(before_); }
#elif defined(__aarch64__)
    uint64_t before_;

public:
    FlushDenormals() {
        __asm__ volatile("mrs %0, fpcr" : "=r"(before_));
        __asm__ volatile("msr fpcr, %0" ::"r"(before_ | (uint64_t(1) << 24)));
    }
    ~FlushDenormals() { __asm__ volatile("msr fpcr, %0" ::"r"(before_)); }
#endif
};

// ---------------------------------------------------------------------------------------------------------------
// Threads. Where PyTorch has loaded OpenMP, its threads are used: they spin for a while after each of PyTorch's own
// operators, and other threads would compete with them for the processor. Otherwise an internal pool is used.

// Tasks 0 .. count - 1, each once, on the threads that come to work()
struct Crew {
    void (*task)(void *, int64_t, int);
    void *data;
    int64_t count;
    std::atomic<int64_t> next{0};
    std::atomic<int> arrived{0};

    void work() {
        const FlushDenormals flush;
        const int self = arrived++;
        for (int64_t i = next++; i < count; i = next++) task(data, i, self);
    }
};

class Pool {
    std::mutex one_call_, lock_;
    std::condition_variable wake_, done_;
    Crew *crew_ = nullptr;
    int wanted_ = 0, working_ = 0, threads_ = 0;
    int64_t round_ = 0;

    void stay() {
        std::unique_lock<std::mutex> lock(lock_);
        int64_t seen = 0;
        for (;;) {
            wake_.wait(lock, [&] { return round_ != seen && wanted_ > 0; });
            seen = round_;
            --wanted_;
            ++working_;
            Crew *crew = crew_;
            lock.unlock();
            crew->work();
            lock.lock();
            if (--working_ == 0) done_.notify_all();
        }
    }

public:
    // False if another call uses the threads, or none could be started: the caller then works alone
    bool run(Crew &crew, int threads) {
        std::unique_lock<std::mutex> mine(one_call_, std::try_to_lock);
        if (!mine) return false;
        {
            const std::lock_guard<std::mutex> guard(lock_);
            try {
                for (; threads_ < threads - 1; ++threads_) std::thread(&Pool::stay, this).detach();
            } catch (const std::exception &) {
                // the system starts no more threads: those that run do the work
            }
            crew_ = &crew;
            wanted_ = threads - 1 < threads_ ? threads - 1 : threads_;
            ++round_;
        }
        wake_.notify_all();
        crew.work();
        std::unique_lock<std::mutex> lock(lock_);
        wanted_ = 0; // threads that have not started are no longer needed
        done_.wait(lock, [&] { return working_ == 0; });
        return true;
    }
};

// Never destroyed: its threads may outlive the end of main(). A child of fork() has none of them and gets a new pool;
// OpenMP's threads are gone as well, and it would wait for them forever.
std::atomic<Pool *> pool{new Pool};
std::atomic<bool> forked{false};
void after_fork() {
    pool = new Pool;
    forked = true;
}

// The threads run this library's code until the process ends, so it must not be unloaded
int keep_loaded() {
    Dl_info info;
    if (dladdr(reinterpret_cast<void *>(&after_fork), &info) && info.dli_fname)
        dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
    return pthread_atfork(nullptr, nullptr, after_fork);
}
const int kept = keep_loaded();

typedef void (*OpenMp)(void (*)(void *), void *, unsigned, unsigned);

void run_tasks(int64_t count, int threads, void (*task)(void *, int64_t, int), void *data) {
    Crew crew{task, data, count};
    if (threads > count) threads = int(count);
    if (threads <= 1) return crew.work();
    // looked up at each call: PyTorch may be imported later than this library
    void *gomp = forked ? nullptr : dlsym(RTLD_DEFAULT, "GOMP_parallel");
    if (gomp) {
        reinterpret_cast<OpenMp>(gomp)([](void *p) { static_cast<Crew *>(p)->work(); }, &crew, unsigned(threads), 0);
    } else if (!pool.load()->run(crew, threads)) {
        crew.work();
    }
}

template <class Task>
void run_tasks(int64_t count, int threads, Task task) {
    run_tasks(count, threads, [](void *p, int64_t i, int self) { (*static_cast<Task *>(p))(i, self); }, &task);
}

// Threads worth waking: each should have some ten microseconds of work
int useful_threads(const mambapro_scan_shape &s) {
    const int64_t least = 1 << 16;
    const int64_t useful = s.batch * s.length * s.channels * s.state / least + 1;
    const int cpus = int(std::thread::hardware_concurrency());
    const int64_t most = s.threads ? s.threads : cpus ? cpus : 1;
    return int(useful < most ? useful : most);
}

// ---------------------------------------------------------------------------------------------------------------

int check(const mambapro_scan_shape &s) {
    if (s.type < MAMBAPRO_FLOAT32 || s.type > MAMBAPRO_FLOAT64) return MAMBAPRO_BAD_TYPE;
    if (s.batch < 0 || s.length < 0 || s.channels < 0 || s.groups < 1 || s.threads < 0) return MAMBAPRO_BAD_SHAPE;
    if (s.channels % s.groups || s.state < 1 || s.state > kMaxState) return MAMBAPRO_BAD_SHAPE;
    return MAMBAPRO_OK;
}

int64_t number_bytes(const Call &call) { return call.shape.type == MAMBAPRO_FLOAT64 ? 8 : 4; }
bool is_half(const Call &call) {
    return call.shape.type == MAMBAPRO_FLOAT16 || call.shape.type == MAMBAPRO_BFLOAT16;
}

// Parts of one allocation, each on a cache line of its own
class Workspace {
    char *base_ = nullptr;
    int64_t size_ = 0;

public:
    int64_t reserve(int64_t bytes) {
        const int64_t at = size_;
        size_ += (bytes + 63) & ~int64_t(63);
        return at;
    }
    bool allocate() {
        if (size_) base_ = static_cast<char *>(aligned_alloc(64, size_t(size_)));
        return base_ || !size_;
    }
    char *operator[](int64_t at) { return base_ + at; }
    ~Workspace() { free(base_); }
};

// Half-precision B and C as float32
struct WideMaps {
    int64_t count, at_B, at_C;

    WideMaps(const Call &call, Workspace &space) {
        const mambapro_scan_shape &s = call.shape;
        count = is_half(call) ? s.batch * s.length * s.groups * s.state : 0;
        at_B = space.reserve(count * 4);
        at_C = space.reserve(count * 4);
    }
    void fill(Call &call, Workspace &space, const Kernel &kernel) const {
        if (!count) return;
        const FlushDenormals flush;
        kernel.widen(call.B, space[at_B], count);
        kernel.widen(call.C, space[at_C], count);
        call.B = space[at_B];
        call.C = space[at_C];
    }
};

int64_t vectors_of(const Call &call, const Kernel &kernel) {
    const int64_t per_group = call.shape.channels / call.shape.groups;
    return (per_group + kernel.width - 1) / kernel.width;
}

int forward(Call &call, const Kernel &kernel) {
    Workspace space;
    const WideMaps maps(call, space);
    if (!space.allocate()) return MAMBAPRO_NO_MEMORY;
    maps.fill(call, space, kernel);
    const mambapro_scan_shape &s = call.shape;
    run_tasks(s.batch * s.groups * vectors_of(call, kernel), useful_threads(s),
              [&](int64_t i, int) { kernel.forward(call, i); });
    return MAMBAPRO_OK;
}

void clear_gradients(const Call &call) {
    const mambapro_scan_shape &s = call.shape;
    const int64_t stored = is_half(call) ? 2 : number_bytes(call);
    memset(call.dA, 0, s.channels * s.state * number_bytes(call));
    memset(call.dD, 0, s.channels * number_bytes(call));
    memset(call.dbias, 0, s.channels * number_bytes(call));
    memset(call.dB, 0, s.batch * s.length * s.groups * s.state * stored);
    memset(call.dC, 0, s.batch * s.length * s.groups * s.state * stored);
}

int backward(Call &call, const Kernel &kernel) {
    const mambapro_scan_shape &s = call.shape;
    if (!s.batch || !s.length || !s.channels) {
        clear_gradients(call);
        return MAMBAPRO_OK;
    }
    const int64_t vectors = vectors_of(call, kernel);
    // at least sixteen tasks where there are as many vectors, then as few sums across lanes as possible
    const int64_t wanted = s.batch * s.groups * vectors / 16;
    call.block = int(wanted < 1 ? 1 : wanted < kMaxBlock ? wanted : kMaxBlock);
    const int64_t tasks = s.batch * s.groups * ((vectors + call.block - 1) / call.block);
    const int threads = useful_threads(s);

    Workspace space;
    const WideMaps maps(call, space);
    const int64_t bytes = number_bytes(call), scratch = (kernel.scratch_bytes(call) + 63) & ~int64_t(63);
    const int64_t at_A = space.reserve(s.batch * s.channels * s.state * bytes);
    const int64_t at_D = space.reserve(s.batch * s.channels * bytes);
    const int64_t at_bias = space.reserve(s.batch * s.channels * bytes);
    const int64_t at_B = space.reserve(tasks * s.length * s.state * bytes);
    const int64_t at_C = space.reserve(tasks * s.length * s.state * bytes);
    const int64_t at_scratch = space.reserve(scratch * threads);
    if (!space.allocate()) return MAMBAPRO_NO_MEMORY;
    maps.fill(call, space, kernel);
    call.part_A = space[at_A];
    call.part_D = space[at_D];
    call.part_bias = space[at_bias];
    call.part_B = space[at_B];
    call.part_C = space[at_C];
    run_tasks(tasks, threads,
              [&](int64_t i, int self) { kernel.backward(call, i, space[at_scratch + self * scratch]); });
    run_tasks(s.batch * s.groups, threads, [&](int64_t i, int) { kernel.finish_maps(call, i); });
    kernel.sum_samples(call.part_A, s.batch, s.channels * s.state, call.dA);
    kernel.sum_samples(call.part_D, s.batch, s.channels, call.dD);
    kernel.sum_samples(call.part_bias, s.batch, s.channels, call.dbias);
    return MAMBAPRO_OK;
}

}  // namespace

extern "C" {

int mambapro_scan_forward(const mambapro_scan_shape *shape, const void *u, const void *delta, const void *A,
                          const void *B, const void *C, const void *D, const void *delta_bias, void *y) {
    if (const int wrong = check(*shape)) return wrong;
    Call call = {};
    call.shape = *shape;
    call.u = u, call.delta = delta, call.A = A, call.B = B, call.C = C, call.D = D, call.bias = delta_bias;
    call.y = y;
    return forward(call, chosen.load()->kernels[shape->type]);
}

int mambapro_scan_backward(const mambapro_scan_shape *shape, const void *dy, const void *u, const void *delta,
                           const void *A, const void *B, const void *C, const void *D, const void *delta_bias,
                           void *du, void *ddelta, void *dA, void *dB, void *dC, void *dD, void *ddelta_bias) {
    if (const int wrong = check(*shape)) return wrong;
    Call call = {};
    call.shape = *shape;
    call.u = u, call.delta = delta, call.A = A, call.B = B, call.C = C, call.D = D, call.bias = delta_bias;
    call.dy = dy, call.du = du, call.ddelta = ddelta, call.dA = dA, call.dB = dB, call.dC = dC, call.dD = dD;
    call.dbias = ddelta_bias;
    return backward(call, chosen.load()->kernels[shape->type]);
}

#ifndef MAMBAPRO_SOURCE
#define MAMBAPRO_SOURCE ""
#endif
const char *mambapro_scan_source(void) { return MAMBAPRO_SOURCE; }

const char *mambapro_scan_instruction_set(void) { return chosen.load()->name; }

const char *mambapro_scan_instruction_sets(int i) {
    for (const InstructionSet *set : kSets)
        if (set->runs_here() && i-- == 0) return set->name;
    return nullptr;
}

int mambapro_scan_use(const char *name) {
    for (const InstructionSet *set : kSets)
        if (set->runs_here() && !strcmp(set->name, name)) {
            chosen = set;
            return MAMBAPRO_OK;
        }
    return MAMBAPRO_BAD_NAME;
}

}  // extern "C"
