// The creator of tensorrt_plugin.h, and what the library exports to IPluginRegistry::loadLibrary().
#include "tensorrt_plugin.h"

#include <atomic>
#include <cstdio>
#include <cstring>

#define MAMBAPRO_EXPORT extern "C" __attribute__((visibility("default")))

namespace mambapro::tensorrt {
namespace {

std::atomic<nvinfer1::ILoggerFinder *> logger_finder{nullptr};

} // namespace

void log_error(const std::string &message) noexcept {
    try {
        nvinfer1::ILoggerFinder *finder = logger_finder.load();
        nvinfer1::ILogger *logger = finder ? finder->findLogger() : nullptr;
        if (logger) {
            logger->log(nvinfer1::ILogger::Severity::kERROR, message.c_str());
            return;
        }
    } catch (...) {
        // a logger that throws is as good as none
    }
    std::fprintf(stderr, "%s\n", message.c_str());
}

nvinfer1::IPluginV3 *Creator::createPlugin(
    const char *, const nvinfer1::PluginFieldCollection *fields, nvinfer1::TensorRTPhase) noexcept {
    return guarded<nvinfer1::IPluginV3 *>(nullptr, [&]() -> nvinfer1::IPluginV3 * {
        int32_t lanes = 0;
        for (int32_t i = 0; fields && i < fields->nbFields; ++i) {
            const nvinfer1::PluginField &field = fields->fields[i];
            if (field.name && std::strcmp(field.name, "lanes") == 0) {
                if (field.type != nvinfer1::PluginFieldType::kINT32 || field.length != 1 || !field.data) {
                    log_error("selective scan: the field lanes must be one int32.");
                    return nullptr;
                }
                std::memcpy(&lanes, field.data, sizeof lanes);
            }
        }
        const std::string error = lanes_error(lanes);
        if (!error.empty()) {
            log_error(error);
            return nullptr;
        }
        return new Plugin(lanes);
    });
}

} // namespace mambapro::tensorrt

MAMBAPRO_EXPORT void setLoggerFinder(nvinfer1::ILoggerFinder *finder) { mambapro::tensorrt::logger_finder = finder; }

MAMBAPRO_EXPORT nvinfer1::IPluginCreatorInterface *const *getCreators(int32_t &count) {
    static mambapro::tensorrt::Creator creator;
    static nvinfer1::IPluginCreatorInterface *const creators[] = {&creator};
    count = 1;
    return creators;
}

// major * 10000 + minor * 100 + patch of the headers this library was compiled with
MAMBAPRO_EXPORT int32_t mambapro_tensorrt_headers() {
    return NV_TENSORRT_MAJOR * 10000 + NV_TENSORRT_MINOR * 100 + NV_TENSORRT_PATCH;
}

#define MAMBAPRO_AS_TEXT(text) #text
#define MAMBAPRO_TEXT(macro) MAMBAPRO_AS_TEXT(macro)
#ifndef MAMBAPRO_GPUS
#define MAMBAPRO_GPUS
#endif

// device code in this library, for example "sm_80:sm_86:compute_90": machine code of 8.0 and 8.6, PTX of 9.0
MAMBAPRO_EXPORT const char *mambapro_gpus() { return MAMBAPRO_TEXT(MAMBAPRO_GPUS); }
