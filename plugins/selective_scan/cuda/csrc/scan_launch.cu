/* The forward pass's launcher: which kernel, how many blocks. ../cuda_kernels.py knows the same for other callers. */
#include "scan_forward.cuh"
#include "scan_launch.cuh"

#define DECLARE(T, TYPE, LANES, STATES)                                                                                \
    extern "C" __global__ void SCAN_FORWARD_NAME(TYPE, LANES, STATES)(SCAN_FORWARD_ARGUMENTS(T));
SCAN_FOR_EACH_INSTANCE(DECLARE, float, fp32)
SCAN_FOR_EACH_INSTANCE(DECLARE, mambapro::fp16, fp16)
SCAN_FOR_EACH_INSTANCE(DECLARE, mambapro::bf16, bf16)

namespace mambapro {

/* States per lane of the smallest kernel, 0 if there is none. */
static int states_per_lane(int lanes, int state) {
    for (int states : {1, 4, 16})
        if (lanes * states >= state) return lanes == 16 && states == 16 ? 0 : states;
    return 0;
}

static Grid forward_grid(const mambapro_scan_cuda_shape &s, int lanes) {
    const int per_block = FORWARD_THREADS / lanes;
    return {static_cast<unsigned>(s.groups * ceil_div(s.channels / s.groups, per_block)), static_cast<unsigned>(s.batch)};
}

/* What a warp spends on a token beside the exponentials, which take 8 cycles each. */
static int overhead(int lanes) { return lanes == 1 ? 8 : lanes == 4 ? 4 : 6; }

/* The busiest multiprocessor's blocks, times what a warp spends on a token. */
static int64_t cycles(const mambapro_scan_cuda_shape &s, int lanes, int states, int multiprocessors) {
    const Grid grid = forward_grid(s, lanes);
    const int64_t blocks = static_cast<int64_t>(grid.x) * grid.y;
    return (blocks + multiprocessors - 1) / multiprocessors * (8 * states + overhead(lanes));
}

} /* namespace mambapro */

extern "C" int mambapro_scan_cuda_lanes(const mambapro_scan_cuda_shape *shape, int multiprocessors) {
    using namespace mambapro;
    int best = 0;
    int64_t least = 0;
    for (int lanes : {1, 4, 16}) {
        const int states = states_per_lane(lanes, shape->state);
        if (!states) continue;
        const int64_t now = cycles(*shape, lanes, states, multiprocessors);
        if (!best || now < least) best = lanes, least = now;
    }
    return best;
}

extern "C" int mambapro_scan_cuda_forward(
    const mambapro_scan_cuda_shape *shape, const void *u, const void *delta, const void *A, const void *B, const void *C,
    const void *D, const void *delta_bias, void *y, int lanes, void *stream) {
    using namespace mambapro;
    mambapro_scan_cuda_shape s = *shape;
    if (const int wrong = wrong_with(s)) return wrong;
    if (lanes != 0 && lanes != 1 && lanes != 4 && lanes != 16) return MAMBAPRO_CUDA_BAD_LANES;
    if (is_empty(s)) return 0;
    if (lanes == 0) {
        int count;
        if (const int error = multiprocessors(&count)) return error;
        lanes = mambapro_scan_cuda_lanes(&s, count);
    }
    const int states = states_per_lane(lanes, s.state);
    if (!states) return MAMBAPRO_CUDA_BAD_LANES;
    void *arguments[] = {&u, &delta, &A, &B, &C, &D, &delta_bias, &s.length, &s.channels, &s.groups, &s.state, &y};
    const Grid grid = forward_grid(s, lanes);
#define LAUNCH(T, TYPE, LANES, STATES)                                                                                 \
    if (lanes == LANES && states == STATES)                                                                            \
        return launch(SCAN_FORWARD_NAME(TYPE, LANES, STATES), grid, FORWARD_THREADS, stream, arguments);
    if (s.type == MAMBAPRO_CUDA_FLOAT32) {
        SCAN_FOR_EACH_INSTANCE(LAUNCH, float, fp32)
    } else if (s.type == MAMBAPRO_CUDA_FLOAT16) {
        SCAN_FOR_EACH_INSTANCE(LAUNCH, fp16, fp16)
    } else {
        SCAN_FOR_EACH_INSTANCE(LAUNCH, bf16, bf16)
    }
    return MAMBAPRO_CUDA_BAD_LANES;
}
