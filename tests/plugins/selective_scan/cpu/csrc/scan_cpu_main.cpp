/* The CPU kernel as a program, for processors other than this one: scans from standard input to standard output.
 *
 * For each scan: mambapro_scan_shape, int64 "with gradients", then u, delta, A, B, C, D, delta_bias and, with gradients,
 * dy. Written are y and then the seven gradients. The name of the instruction set goes to standard error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "scan_cpu.h"

static void must(bool holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "%s\n", what);
    exit(1);
}

int main() {
    fprintf(stderr, "%s\n", mambapro_scan_instruction_set());
    mambapro_scan_shape s;
    while (fread(&s, sizeof s, 1, stdin) == 1) {
        int64_t with_gradients;
        must(fread(&with_gradients, sizeof with_gradients, 1, stdin) == 1, "the input ends early");
        const size_t io = s.type == MAMBAPRO_FLOAT64 ? 8 : s.type == MAMBAPRO_FLOAT32 ? 4 : 2;
        const size_t parameter = s.type == MAMBAPRO_FLOAT64 ? 8 : 4;
        const size_t tokens = io * s.batch * s.length * s.channels, maps = io * s.batch * s.length * s.groups * s.state;
        const size_t sizes[8] = {tokens, tokens, parameter * s.channels * s.state, maps, maps, parameter * s.channels,
                                 parameter * s.channels, tokens};
        std::vector<char> in[8], out[8];
        for (int i = 0; i < 7 + (with_gradients != 0); i++) {
            in[i].resize(sizes[i]);
            out[i].resize(sizes[i]);
            must(fread(in[i].data(), 1, sizes[i], stdin) == sizes[i], "the input ends early");
        }
        std::vector<char> y(tokens);
        must(!mambapro_scan_forward(&s, in[0].data(), in[1].data(), in[2].data(), in[3].data(), in[4].data(), in[5].data(),
                                    in[6].data(), y.data()), "forward failed");
        fwrite(y.data(), 1, tokens, stdout);
        if (!with_gradients) continue;
        must(!mambapro_scan_backward(&s, in[7].data(), in[0].data(), in[1].data(), in[2].data(), in[3].data(), in[4].data(),
                                     in[5].data(), in[6].data(), out[0].data(), out[1].data(), out[2].data(), out[3].data(),
                                     out[4].data(), out[5].data(), out[6].data()), "backward failed");
        for (int i = 0; i < 7; i++) fwrite(out[i].data(), 1, sizes[i], stdout);
    }
    return 0;
}
