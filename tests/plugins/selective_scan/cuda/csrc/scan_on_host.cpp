/* The CUDA sources of the scan as a library for the host: scan_cuda.h's functions, and the driver's for
 * cuda_driver.py, emulated. */
#include "cuda_on_host.h"

#include "scan_backward_bf16.cu"
#include "scan_backward_fp16.cu"
#include "scan_backward_fp32.cu"
#include "scan_forward_bf16.cu"
#include "scan_forward_fp16.cu"
#include "scan_forward_fp32.cu"
#undef DECLARE
#include "scan_launch.cu"
#undef DECLARE
#undef LAUNCH
#include "scan_launch_backward.cu"

#include "counted_writes_on_host.h"
#include "cuda_driver_on_host.h"

/* In which order the threads of a block run: 0, 1 or 2 (cuda_on_host::Order). */
extern "C" void cuda_on_host_order(int order) { cuda_on_host::order = static_cast<cuda_on_host::Order>(order); }

/* Numbers of scan_core.cuh. */
extern "C" float scan_softplus(float x) { return mambapro::softplus(x); }
extern "C" float scan_softplus_slope(float x) { return mambapro::softplus_slope(x); }
extern "C" float scan_from_fp16(uint16_t bits) { return mambapro::to_float(mambapro::fp16{bits}); }
extern "C" float scan_from_bf16(uint16_t bits) { return mambapro::to_float(mambapro::bf16{bits}); }
extern "C" uint16_t scan_to_fp16(float x) { return mambapro::from_float<mambapro::fp16>(x).bits; }
extern "C" uint16_t scan_to_bf16(float x) { return mambapro::from_float<mambapro::bf16>(x).bits; }
