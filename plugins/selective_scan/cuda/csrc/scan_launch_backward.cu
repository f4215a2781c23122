/* The backward pass's launcher: a kernel that walks the tokens, and one that adds what blocks and samples left. */
#include "scan_backward.cuh"
#include "scan_launch.cuh"

#define DECLARE(T, TYPE)                                                                                               \
    extern "C" __global__ void SCAN_BACKWARD_NAME(TYPE, 1)(SCAN_BACKWARD_ARGUMENTS(T));                                \
    extern "C" __global__ void SCAN_BACKWARD_NAME(TYPE, 4)(SCAN_BACKWARD_ARGUMENTS(T));                                \
    extern "C" __global__ void SCAN_SUMS_NAME(TYPE)(SCAN_SUMS_ARGUMENTS(T));
DECLARE(float, fp32)
DECLARE(mambapro::fp16, fp16)
DECLARE(mambapro::bf16, bf16)

extern "C" size_t mambapro_scan_cuda_workspace_bytes(const mambapro_scan_cuda_shape *shape) {
    if (mambapro::wrong_with(*shape)) return 0;
    const mambapro::Workspace places(shape->batch, shape->length, shape->channels, shape->groups, shape->state);
    return static_cast<size_t>(places.floats) * sizeof(float);
}

extern "C" int mambapro_scan_cuda_backward(
    const mambapro_scan_cuda_shape *shape, const void *dy, const void *u, const void *delta, const void *A, const void *B,
    const void *C, const void *D, const void *delta_bias, void *du, void *ddelta, void *dA, void *dB, void *dC, void *dD,
    void *ddelta_bias, void *workspace, void *stream) {
    using namespace mambapro;
    mambapro_scan_cuda_shape s = *shape;
    if (const int wrong = wrong_with(s)) return wrong;
    /* nothing to walk over; sums of no samples, or of no channels' blocks, are the zeros that are wanted */
    const bool empty = is_empty(s);
    if (s.length == 0) s.batch = 0;
    void *walk[] = {&dy,       &u,          &delta,    &A,       &B,         &C,  &D,     &delta_bias,
                    &s.length, &s.channels, &s.groups, &s.state, &workspace, &du, &ddelta};
    void *add[] = {&workspace, &s.batch, &s.length, &s.channels, &s.groups, &s.state, &dA, &dB, &dC, &dD, &ddelta_bias};
    const int states = backward_states(s.state), held = backward_channels(s.state);
    const int64_t maps = static_cast<int64_t>(s.batch) * s.length * s.groups * s.state;
    const int64_t rates = static_cast<int64_t>(s.channels) * s.state;
    const int64_t elements = maps > rates ? maps : rates;
    if (elements == 0) return 0;
    const Grid blocks = {static_cast<unsigned>(s.groups * ceil_div(s.channels / s.groups, held)), static_cast<unsigned>(s.batch)};
    const Grid sums = {static_cast<unsigned>((elements + SUM_THREADS - 1) / SUM_THREADS), SUM_JOBS};
#define LAUNCH(TYPE)                                                                                                   \
    {                                                                                                                  \
        const auto kernel = states == 1 ? SCAN_BACKWARD_NAME(TYPE, 1) : SCAN_BACKWARD_NAME(TYPE, 4);                   \
        const int error = empty ? 0 : launch(kernel, blocks, held * 16, stream, walk);                                 \
        return error ? error : launch(SCAN_SUMS_NAME(TYPE), sums, SUM_THREADS, stream, add);                           \
    }
    if (s.type == MAMBAPRO_CUDA_FLOAT32) LAUNCH(fp32)
    if (s.type == MAMBAPRO_CUDA_FLOAT16) LAUNCH(fp16)
    LAUNCH(bf16)
}
