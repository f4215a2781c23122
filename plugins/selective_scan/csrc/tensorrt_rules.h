/* What the operator accepts, in C++ without TensorRT: the rules of ../schema.py for shapes that may be known in part.
 * The test suite holds both to the same answers over one list of shapes and types.
 */
#ifndef MAMBAPRO_TENSORRT_RULES_H
#define MAMBAPRO_TENSORRT_RULES_H

#include <array>
#include <cstdint>
#include <string>

namespace mambapro
{

constexpr int INPUTS = 7;
constexpr char const* NAMES[INPUTS + 1] = {"u", "delta", "A", "B", "C", "D", "delta_bias", "y"};
constexpr int64_t MAX_STATE = 64;
/* A size that is not known yet. */
constexpr int64_t UNKNOWN = -1;

enum Size
{
    BATCH,
    LENGTH,
    CHANNELS,
    GROUPS,
    STATE,
    SIZES
};

enum class Kind
{
    FLOAT32,
    FLOAT16,
    BFLOAT16,
    OTHER
};

/* Shape of one input; sizes beyond `rank` mean nothing. */
struct Shape
{
    int rank = 0;
    std::array<int64_t, 8> sizes{};
};

/* Batch, length, channels, groups, state of a scan, UNKNOWN where the shapes do not tell. */
using ScanSizes = std::array<int64_t, SIZES>;

/* Whether input or output `i` is of the scan's own type; A, D and delta_bias are float32 beside it. */
constexpr bool isOfScanType(int i)
{
    return i != 2 && i != 5 && i != 6;
}

/* "" where the seven shapes may be those of a scan, and then its sizes; else what was given and what is allowed. */
std::string shapeError(Shape const (&shapes)[INPUTS], ScanSizes& sizes);

/* "" where `kind` is allowed for input or output `i` beside u of kind `scan`; else what was given and what is allowed.
 * `given` is the type's name in the message. */
std::string typeError(int i, Kind kind, Kind scan, std::string const& given);

} // namespace mambapro

#endif
