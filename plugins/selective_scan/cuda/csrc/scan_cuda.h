/* The selective scan on NVIDIA GPUs: plain C interface, knows neither PyTorch nor TensorRT. Contract: ../schema.py.
 *
 * All arrays lie in device memory, contiguous, token-major: u, delta, y (batch, length, channels), B, C (batch,
 * length, groups, state), A (channels, state), D, delta_bias (channels). u, delta, B, C, y and their gradients are of
 * `type`; A, D, delta_bias and theirs are float32. Outputs may not overlap inputs.
 *
 * Calls only enqueue work on `stream` (a cudaStream_t) and allocate nothing. They return 0, a negative number for
 * arguments that break the contract, or the cudaError_t of the launch. Results are the same in every run.
 */
#ifndef MAMBAPRO_SCAN_CUDA_H
#define MAMBAPRO_SCAN_CUDA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The same numbers as in scan_cpu.h, which a file may include as well. */
enum { MAMBAPRO_CUDA_FLOAT32 = 0, MAMBAPRO_CUDA_FLOAT16 = 1, MAMBAPRO_CUDA_BFLOAT16 = 2 };

/* Sizes that break the contract, another type, lanes that are not 0, 1, 4, 16 or too few for the states. */
enum { MAMBAPRO_CUDA_BAD_SHAPE = -1, MAMBAPRO_CUDA_BAD_TYPE = -2, MAMBAPRO_CUDA_BAD_LANES = -3 };

/* batch at most 65535, state 1 to 64, groups a divisor of channels. */
typedef struct {
    int32_t batch, length, channels, groups, state;
    int32_t type;
} mambapro_scan_cuda_shape;

/* Lanes per channel, 1, 4 or 16, that should be fastest on a GPU of so many multiprocessors. */
int mambapro_scan_cuda_lanes(const mambapro_scan_cuda_shape *shape, int multiprocessors);

/* y from the seven inputs. lanes: 1 (state up to 16), 4, 16, or 0 to choose for the current device. */
int mambapro_scan_cuda_forward(
    const mambapro_scan_cuda_shape *shape,
    const void *u, const void *delta, const void *A, const void *B, const void *C, const void *D,
    const void *delta_bias,
    void *y, int lanes, void *stream);

/* Bytes of device memory the backward pass works in; 0 for arguments that break the contract. */
size_t mambapro_scan_cuda_workspace_bytes(const mambapro_scan_cuda_shape *shape);

/* Gradients of all seven inputs from dy; states are computed again. The workspace is aligned to 16 bytes. */
int mambapro_scan_cuda_backward(
    const mambapro_scan_cuda_shape *shape, const void *dy,
    const void *u, const void *delta, const void *A, const void *B, const void *C, const void *D,
    const void *delta_bias,
    void *du, void *ddelta, void *dA, void *dB, void *dC, void *dD, void *ddelta_bias,
    void *workspace, void *stream);

#ifdef __cplusplus
}
#endif

#endif
