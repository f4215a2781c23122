// Asks the C++ rules for the test suite: one scan a line on standard input, one answer a line on standard output.
//
//   c++ -std=c++17 -I $CONTRACT contract_main.cpp $CONTRACT/contract.cpp   (plugins/selective_scan/contract)
//
// A line has seven shapes, as `2,7,12 2,7,12 12,4 2,7,3,4 2,7,3,4 12 12`, ? for a size that is not known, and seven
// types, as `float32`. The answer is `ok` with the five sizes (-1: not known) and, behind a bar, the tactics, or the
// message of the refusal.
#include <cstdio>
#include <iostream>
#include <sstream>

#include "contract.h"

using namespace mambapro::contract;

static Shape shape_of(const std::string &text) {
    Shape shape;
    std::istringstream sizes(text);
    for (std::string size; std::getline(sizes, size, ',');)
        shape.sizes.at(shape.rank++) = size == "?" ? kUnknown : std::stoll(size);
    return shape;
}

static Kind kind_of(const std::string &name) {
    if (name == "float32") return Kind::kFloat32;
    if (name == "float16") return Kind::kFloat16;
    return name == "bfloat16" ? Kind::kBFloat16 : Kind::kOther;
}

static std::string answer(const std::string &line) {
    std::istringstream words(line);
    std::array<Shape, kInputs> shapes;
    std::array<std::string, kInputs> types;
    std::string word;
    for (Shape &shape : shapes) {
        words >> word;
        shape = shape_of(word);
    }
    for (std::string &type : types)
        words >> type;
    ScanSizes sizes;
    std::string error = shape_error(shapes, sizes);
    for (int i = 0; i < kInputs && error.empty(); ++i)
        error = type_error(i, kind_of(types[i]), kind_of(types[0]), types[i]);
    if (!error.empty())
        return error;
    std::ostringstream found;
    found << "ok";
    for (int64_t size : sizes)
        found << ' ' << size;
    found << " |";
    for (int32_t lanes : tactics(sizes[kState]))
        found << ' ' << lanes;
    return found.str();
}

int main() {
    for (std::string line; std::getline(std::cin, line);)
        std::cout << answer(line) << '\n';
}
