/* The selective scan on CPUs: plain C interface, no dependencies. Contract and letters: ../../schema.py.
 *
 * All arrays are contiguous, token-major: u, delta, y (batch, length, channels), B, C (batch, length, groups, state),
 * A (channels, state), D, delta_bias (channels). u, delta, B, C, y and their gradients are of `type`; A, D,
 * delta_bias and theirs are float32, float64 beside float64. Outputs may not overlap inputs.
 *
 * Results depend on the inputs and the instruction set alone, never on the number of threads.
 * Every function may be called from several threads at once.
 */
#ifndef MAMBAPRO_SCAN_CPU_H
#define MAMBAPRO_SCAN_CPU_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MAMBAPRO_FLOAT32 = 0, MAMBAPRO_FLOAT16 = 1, MAMBAPRO_BFLOAT16 = 2, MAMBAPRO_FLOAT64 = 3 };

enum { MAMBAPRO_OK = 0, MAMBAPRO_BAD_SHAPE = 1, MAMBAPRO_BAD_TYPE = 2, MAMBAPRO_NO_MEMORY = 3, MAMBAPRO_BAD_NAME = 4 };

typedef struct {
    int64_t batch, length, channels, groups, state;
    int32_t type;
    /* Largest number of threads, including the caller's; 0: one for each CPU. */
    int32_t threads;
} mambapro_scan_shape;

/* y from the seven inputs. Returns MAMBAPRO_OK or an error code; on an error y is untouched. */
int mambapro_scan_forward(
    const mambapro_scan_shape *shape,
    const void *u, const void *delta, const void *A, const void *B, const void *C, const void *D,
    const void *delta_bias,
    void *y);

/* Gradients of all seven inputs from dy; states are computed again. */
int mambapro_scan_backward(
    const mambapro_scan_shape *shape, const void *dy,
    const void *u, const void *delta, const void *A, const void *B, const void *C, const void *D,
    const void *delta_bias,
    void *du, void *ddelta, void *dA, void *dB, void *dC, void *dD, void *ddelta_bias);

/* Fingerprint of the sources the library was compiled from (the macro MAMBAPRO_SOURCE), to detect a library of
 * older sources. */
const char *mambapro_scan_source(void);

/* "avx512", "avx2", "neon" or "plain": the instruction set in use. */
const char *mambapro_scan_instruction_set(void);

/* The i-th instruction set this machine can run, best first, or NULL. */
const char *mambapro_scan_instruction_sets(int i);

/* Select an instruction set for the whole process; MAMBAPRO_BAD_NAME if this machine lacks it. */
int mambapro_scan_use(const char *name);

#ifdef __cplusplus
}
#endif

#endif
