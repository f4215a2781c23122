// What the operator accepts, in C++ without TensorRT: the rules of ../schema.py, for shapes that are known in part.
// The test suite holds both to the same answers over one list of shapes and types.
#ifndef MAMBAPRO_CONTRACT_H
#define MAMBAPRO_CONTRACT_H

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace mambapro::contract {

constexpr int kInputs = 7;
constexpr const char *kNames[kInputs + 1] = {"u", "delta", "A", "B", "C", "D", "delta_bias", "y"};
constexpr int64_t kMaxState = 64;
// A size that is not known yet
constexpr int64_t kUnknown = -1;

enum Size { kBatch, kLength, kChannels, kGroups, kState, kSizes };

enum class Kind { kFloat32, kFloat16, kBFloat16, kOther };

// Shape of one input; what stands behind `rank` means nothing.
struct Shape {
    int rank = 0;
    std::array<int64_t, 8> sizes{};
};

// Batch, length, channels, groups, state; kUnknown where the shapes do not tell.
using ScanSizes = std::array<int64_t, kSizes>;

// Whether input or output `i` is of the scan's own type; A, D and delta_bias are float32 beside it.
constexpr bool is_of_scan_type(int i) { return i != 2 && i != 5 && i != 6; }

// "" where the seven shapes may be those of a scan, and then its sizes; else what was given and what is allowed.
std::string shape_error(const std::array<Shape, kInputs> &shapes, ScanSizes &sizes);

// "" where input or output `i` may be of `kind` beside a u of kind `scan`; else what was given and what is allowed.
// `given` names the type in the message.
std::string type_error(int i, Kind kind, Kind scan, const std::string &given);

// Splits of the states that a scan can be computed with: numbers of lanes, all of which TensorRT times.
std::vector<int32_t> tactics(int64_t state);

// "" where `lanes` is one of them for some scan, or 0, which leaves the choice to the core.
std::string lanes_error(int32_t lanes);

} // namespace mambapro::contract

#endif
