/* The rules of tensorrt_rules.h. */
#include "tensorrt_rules.h"

#include <initializer_list>
#include <sstream>
#include <vector>

namespace mambapro
{
namespace
{

char const* const SIZE_NAMES[SIZES] = {"batch", "length", "channels", "groups", "state"};

std::vector<Size> const AXES[INPUTS] = {
    {BATCH, LENGTH, CHANNELS},
    {BATCH, LENGTH, CHANNELS},
    {CHANNELS, STATE},
    {BATCH, LENGTH, GROUPS, STATE},
    {BATCH, LENGTH, GROUPS, STATE},
    {CHANNELS},
    {CHANNELS},
};

template <typename Print>
std::string listed(int count, Print print)
{
    std::ostringstream text;
    text << '(';
    for (int i = 0; i < count; ++i)
    {
        text << (i ? ", " : "");
        print(text, i);
    }
    text << (count == 1 ? ",)" : ")");
    return text.str();
}

std::string text(Shape const& shape)
{
    return listed(shape.rank, [&](std::ostream& out, int i) {
        shape.sizes[i] == UNKNOWN ? out << '?' : out << shape.sizes[i];
    });
}

std::string expected(int input)
{
    return listed(static_cast<int>(AXES[input].size()),
        [&](std::ostream& out, int i) { out << SIZE_NAMES[AXES[input][i]]; });
}

/* "" where the sizes by themselves can be those of a scan. */
std::string sizesError(ScanSizes const& sizes)
{
    std::ostringstream message;
    int64_t const channels = sizes[CHANNELS], groups = sizes[GROUPS], state = sizes[STATE];
    if (groups != UNKNOWN && (groups < 1 || (channels != UNKNOWN && channels % groups != 0)))
    {
        message << "selective scan: ";
        channels == UNKNOWN ? message << "the" : message << channels;
        message << " channels cannot be divided into " << groups << " groups of equal size.";
    }
    else if (state != UNKNOWN && (state < 1 || state > MAX_STATE))
    {
        message << "selective scan: state must be 1 to " << MAX_STATE << ", got " << state << '.';
    }
    return message.str();
}

} // namespace

std::string shapeError(Shape const (&shapes)[INPUTS], ScanSizes& sizes)
{
    int told[SIZES]; // the input each size is known from
    sizes.fill(UNKNOWN);
    // u and B come first: they are what the others are measured by
    for (int input : {0, 3, 1, 2, 4, 5, 6})
    {
        Shape const& shape = shapes[input];
        std::ostringstream message;
        message << "selective scan: " << NAMES[input] << " must be " << expected(input) << ", got " << text(shape);
        if (shape.rank != static_cast<int>(AXES[input].size()))
        {
            return message.str() + '.';
        }
        for (int i = 0; i < shape.rank; ++i)
        {
            Size const size = AXES[input][i];
            if (shape.sizes[i] == UNKNOWN)
            {
                continue;
            }
            if (sizes[size] == UNKNOWN)
            {
                sizes[size] = shape.sizes[i];
                told[size] = input;
            }
            else if (sizes[size] != shape.sizes[i])
            {
                message << ", but " << SIZE_NAMES[size] << " is " << sizes[size] << " in " << NAMES[told[size]] << ' '
                        << text(shapes[told[size]]) << '.';
                return message.str();
            }
        }
    }
    return sizesError(sizes);
}

std::string typeError(int i, Kind kind, Kind scan, std::string const& given)
{
    std::string const start = std::string("selective scan: ") + NAMES[i] + " is " + given;
    if (!isOfScanType(i))
    {
        return kind == Kind::FLOAT32 ? "" : start + "; it must be float32 whatever type u has.";
    }
    if (i == 0)
    {
        return kind == Kind::OTHER ? start + "; allowed are float32, float16, bfloat16." : "";
    }
    return kind == scan ? "" : start + ", another type than u; u, delta, B, C and y must be of one type.";
}

} // namespace mambapro
