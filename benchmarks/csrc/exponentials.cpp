// The exponentials of a scan and nothing else: what a scan on this processor cannot do without.
// Compiled with -Ofast -march=native, so that the compiler takes its vector library; see ../scan_cpu.py.
#include <math.h>
#include <stdint.h>

// x (length, channels) steps, a (channels / 16, state, 16) rates -> sum of exp(x a) over length and state, by channel
extern "C" void exponentials(const float *x, const float *a, int64_t length, int64_t channels, int64_t state,
                             float *out, int threads) {
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t c = 0; c < channels; c += 16) {
        float sum[16] = {};
        for (int64_t t = 0; t < length; t++) {
            if (t + 6 < length) __builtin_prefetch(x + (t + 6) * channels + c);
            for (int64_t n = 0; n < state; n++)
                for (int i = 0; i < 16; i++) sum[i] += expf(x[t * channels + c + i] * a[(c / 16 * state + n) * 16 + i]);
        }
        for (int i = 0; i < 16; i++) out[c + i] = sum[i];
    }
}
