// Implementation of contract.h.
#include "contract.h"

#include <sstream>

namespace mambapro::contract {
namespace {

const char *const kSizeNames[kSizes] = {"batch", "length", "channels", "groups", "state"};

const std::vector<Size> kAxes[kInputs] = {
    {kBatch, kLength, kChannels},
    {kBatch, kLength, kChannels},
    {kChannels, kState},
    {kBatch, kLength, kGroups, kState},
    {kBatch, kLength, kGroups, kState},
    {kChannels},
    {kChannels},
};

template <typename Print> std::string listed(int count, Print print) {
    std::ostringstream text;
    text << '(';
    for (int i = 0; i < count; ++i) {
        text << (i ? ", " : "");
        print(text, i);
    }
    text << (count == 1 ? ",)" : ")");
    return text.str();
}

std::string text_of(const Shape &shape) {
    return listed(shape.rank, [&](std::ostream &out, int i) {
        if (shape.sizes[i] == kUnknown)
            out << '?';
        else
            out << shape.sizes[i];
    });
}

std::string expected(int input) {
    const auto &axes = kAxes[input];
    return listed(static_cast<int>(axes.size()), [&](std::ostream &out, int i) { out << kSizeNames[axes[i]]; });
}

// "" where the sizes by themselves may be those of a scan
std::string sizes_error(const ScanSizes &sizes) {
    std::ostringstream message;
    const int64_t channels = sizes[kChannels], groups = sizes[kGroups], state = sizes[kState];
    if (groups != kUnknown && groups < 1)
        message << "selective scan: groups must be at least 1, got " << groups << '.';
    else if (groups != kUnknown && channels != kUnknown && channels % groups != 0)
        message << "selective scan: " << channels << " channels cannot be divided into " << groups
                << " groups of equal size.";
    else if (state != kUnknown && (state < 1 || state > kMaxState))
        message << "selective scan: state must be 1 to " << kMaxState << ", got " << state << '.';
    return message.str();
}

} // namespace

std::string shape_error(const std::array<Shape, kInputs> &shapes, ScanSizes &sizes) {
    int told[kSizes] = {}; // the input that each size is known from
    sizes.fill(kUnknown);
    // u and B come first: the others are measured by them
    for (int input : {0, 3, 1, 2, 4, 5, 6}) {
        const Shape &shape = shapes[input];
        const auto &axes = kAxes[input];
        const std::string given =
            std::string("selective scan: ") + kNames[input] + " must be " + expected(input) + ", got " + text_of(shape);
        if (shape.rank != static_cast<int>(axes.size()))
            return given + '.';
        for (int i = 0; i < shape.rank; ++i) {
            const Size size = axes[i];
            if (shape.sizes[i] == kUnknown)
                continue;
            if (sizes[size] == kUnknown) {
                sizes[size] = shape.sizes[i];
                told[size] = input;
            } else if (sizes[size] != shape.sizes[i]) {
                return given + ", but " + kSizeNames[size] + " is " + std::to_string(sizes[size]) + " in " +
                       kNames[told[size]] + ' ' + text_of(shapes[told[size]]) + '.';
            }
        }
    }
    return sizes_error(sizes);
}

std::string type_error(int i, Kind kind, Kind scan, const std::string &given) {
    const std::string start = std::string("selective scan: ") + kNames[i] + " is " + given;
    if (!is_of_scan_type(i))
        return kind == Kind::kFloat32 ? "" : start + "; it must be float32 whatever type u has.";
    if (i == 0)
        return kind == Kind::kOther ? start + "; allowed are float32, float16, bfloat16." : "";
    const bool same = kind == scan && kind != Kind::kOther;
    return same ? "" : start + " but u is not; u, delta, B, C and y must be of one type.";
}

std::vector<int32_t> tactics(int64_t state) {
    // one lane holds at most 16 states in registers
    return state <= 16 ? std::vector<int32_t>{1, 4, 16} : std::vector<int32_t>{4, 16};
}

std::string lanes_error(int32_t lanes) {
    for (int32_t known : {0, 1, 4, 16})
        if (lanes == known)
            return "";
    return "selective scan: lanes must be 1, 4, 16, or 0 for any of them, got " + std::to_string(lanes) + '.';
}

} // namespace mambapro::contract
