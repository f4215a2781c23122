// Stand-ins for what TensorRT hands to a plugin: a logger, dimension expressions, descriptions of tensors.
#pragma once

#include <NvInferRuntime.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tensorrt_host_enqueue.h"

// Keeps what the plugin says, so that refusals can be told from silence.
struct Logger : nvinfer1::ILogger {
    std::string last;
    void log(Severity, const char *message) noexcept override { last = message; }
};

struct Finder : nvinfer1::ILoggerFinder {
    Logger logger;
    nvinfer1::ILogger *findLogger() override { return &logger; }
};

// A dimension expression that is a number, or unknown (-1).
struct Number : nvinfer1::IDimensionExpr {
    struct Implementation : nvinfer1::apiv::VDimensionExpr {
        int64_t value = 0;
        bool isConstant() const noexcept override { return value >= 0; }
        int64_t getConstantValue() const noexcept override { return value; }
        bool isSizeTensor() const noexcept override { return false; }
    } implementation;
    Number() { mImpl = &implementation; }
};

// The plugin's output has the shape of u, so nothing is ever computed.
struct Builder : nvinfer1::IExprBuilder {
    Builder() { mImpl = nullptr; }
};

constexpr bool is_parameter(int i) { return i == 2 || i == 5 || i == 6; }

using Shapes = std::array<std::vector<int64_t>, 8>;

// Of the seven inputs and the output.
inline Shapes shapes_of(const Sizes &n) {
    const std::vector<int64_t> u = {n.batch, n.length, n.channels}, b = {n.batch, n.length, n.groups, n.state};
    return {u, u, {n.channels, n.state}, b, b, {n.channels}, {n.channels}, u};
}

// What TensorRT says of tensors of fixed shapes.
inline std::array<nvinfer1::DynamicPluginTensorDesc, 8> descs_of(const Shapes &shapes, nvinfer1::DataType type) {
    std::array<nvinfer1::DynamicPluginTensorDesc, 8> descs{};
    for (int i = 0; i < 8; ++i) {
        nvinfer1::Dims dims{};
        dims.nbDims = static_cast<int32_t>(shapes[i].size());
        for (int k = 0; k < dims.nbDims; ++k)
            dims.d[k] = shapes[i][k];
        const auto own = is_parameter(i) ? nvinfer1::DataType::kFLOAT : type;
        descs[i] = {{dims, own, nvinfer1::TensorFormat::kLINEAR, 1.0f}, dims, dims, dims};
    }
    return descs;
}
