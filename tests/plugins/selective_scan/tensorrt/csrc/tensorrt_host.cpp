// Drives the plugin library as TensorRT would, without TensorRT: what a machine with a GPU but no SDK can verify.
//
//   g++ -std=c++17 -O2 -isystem $TENSORRT_INCLUDE_DIR -isystem $CUDA_HOME/include tensorrt_host.cpp -o host -ldl
//   ./host libmambapro_selective_scan_tensorrt.so [--host-memory]
//
// TensorRT's headers have to be those the library was built with. It asks the creator, the three capabilities, types,
// formats, shapes, tactics and serialised fields, and runs enqueue for every type and split against double precision.
// --host-memory is for a library whose kernels are compiled for the host (scan_on_host.cpp); then no GPU takes part.
// Exit codes: 0 all is right; 1 something is not, named on standard output; 2 the library cannot be used;
// 3 all is right but enqueue, which has no GPU here and said so.
#include <cstring>
#include <memory>

#include "tensorrt_host_fakes.h"
#include "tensorrt_host_enqueue.h"

using namespace nvinfer1;

namespace {

int failures = 0;
Finder finder;

void expect(bool holds, const std::string &what) {
    if (!holds) {
        std::printf("WRONG: %s\n", what.c_str());
        ++failures;
    }
}

bool shapes_pass(IPluginV3OneBuild &build, const Shapes &shapes) {
    std::array<std::array<Number, 4>, 7> numbers;
    DimsExprs inputs[7] = {}, output = {};
    Builder builder;
    for (int i = 0; i < 7; ++i) {
        inputs[i].nbDims = static_cast<int32_t>(shapes[i].size());
        for (int k = 0; k < inputs[i].nbDims; ++k) {
            numbers[i][k].implementation.value = shapes[i][k];
            inputs[i].d[k] = &numbers[i][k];
        }
    }
    const bool passed = build.getOutputShapes(inputs, 7, nullptr, 0, &output, 1, builder) == 0;
    expect(!passed || (output.nbDims == 3 && output.d[2] == inputs[0].d[2]), "y must have the shape of u");
    return passed;
}

void check_types(IPluginV3OneBuild &build) {
    const DataType all[] = {DataType::kFLOAT, DataType::kHALF, DataType::kBF16, DataType::kINT8, DataType::kINT32};
    const Shapes shapes = shapes_of({2, 7, 12, 3, 4});
    for (int scan = 0; scan < 5; ++scan) {
        auto descs = descs_of(shapes, all[scan]);
        DataType types[7], output = DataType::kINT32;
        for (int i = 0; i < 7; ++i)
            types[i] = descs[i].desc.type;
        const bool typed = build.getOutputDataTypes(&output, 1, types, 7) == 0;
        expect(typed == (scan < 3) && (!typed || output == all[scan]), "types, u of type " + std::to_string(scan));
        for (int i = 0; i < 8; ++i)
            for (int other = 0; other < 5; ++other)
                for (TensorFormat format : {TensorFormat::kLINEAR, TensorFormat::kHWC, TensorFormat::kCHW32}) {
                    auto asked = descs;
                    asked[i].desc.type = all[other];
                    asked[i].desc.format = format;
                    const bool right = is_parameter(i) ? other == 0 : other < 3 && (i == 0 || other == scan);
                    const bool said = build.supportsFormatCombination(i, asked.data(), 7, 1);
                    expect(said == (right && format == TensorFormat::kLINEAR),
                           "type " + std::to_string(other) + " at " + std::to_string(i) + " beside u of type " +
                               std::to_string(scan));
                }
    }
}

void check_shapes(IPluginV3OneBuild &build) {
    const Shapes good = shapes_of({2, 7, 12, 3, 4});
    expect(shapes_pass(build, good), "a good shape must pass: " + finder.logger.last);
    Shapes open = good;
    for (auto &shape : open)
        for (auto &size : shape)
            size = -1;
    expect(shapes_pass(build, open), "unknown sizes must pass: " + finder.logger.last);
    for (int i = 0; i < 7; ++i)
        for (size_t k = 0; k < good[i].size(); ++k) {
            Shapes bad = good;
            bad[i][k] += 1;
            finder.logger.last.clear();
            expect(!shapes_pass(build, bad), "a wrong size " + std::to_string(k) + " of input " + std::to_string(i));
            auto descs = descs_of(bad, DataType::kFLOAT);
            expect(build.configurePlugin(descs.data(), 7, &descs[7], 1) != 0, "configurePlugin must refuse as well");
            expect(finder.logger.last.rfind("selective scan: ", 0) == 0, "a refusal must say why");
            // each of a profile's three shapes counts
            for (Dims DynamicPluginTensorDesc::*extreme :
                 {&DynamicPluginTensorDesc::min, &DynamicPluginTensorDesc::opt, &DynamicPluginTensorDesc::max}) {
                auto profile = descs_of(good, DataType::kFLOAT);
                expect(build.configurePlugin(profile.data(), 7, &profile[7], 1) == 0, "a good profile");
                (profile[i].*extreme).d[k] += 1;
                expect(build.configurePlugin(profile.data(), 7, &profile[7], 1) != 0, "a profile with one wrong shape");
            }
        }
}

void check_tactics(IPluginV3OneBuild &build, IPluginV3OneRuntime &runtime) {
    for (int64_t state : {1, 4, 16, 17, 64}) {
        auto descs = descs_of(shapes_of({2, 7, 12, 3, state}), DataType::kHALF);
        expect(build.configurePlugin(descs.data(), 7, &descs[7], 1) == 0, "configurePlugin: " + finder.logger.last);
        std::vector<int32_t> tactics(build.getNbTactics());
        expect(build.getValidTactics(tactics.data(), build.getNbTactics()) == 0, "getValidTactics");
        std::printf("tactics for state %d:", static_cast<int>(state));
        for (int32_t tactic : tactics) {
            std::printf(" %d", tactic);
            expect(tactic > 0 && runtime.setTactic(tactic) == 0, "a tactic it offers must be taken");
        }
        std::printf("\n");
    }
    expect(runtime.setTactic(3) != 0, "three lanes must be refused");
}

int32_t serialised_lanes(IPluginV3 &plugin) {
    auto runtime = static_cast<IPluginV3OneRuntime *>(plugin.getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    const PluginFieldCollection *fields = runtime->getFieldsToSerialize();
    if (!fields || fields->nbFields != 1 || std::strcmp(fields->fields[0].name, "lanes") != 0)
        return -1;
    return *static_cast<const int32_t *>(fields->fields[0].data);
}

void check_serialisation(IPluginCreatorV3One &creator, IPluginV3 &plugin) {
    auto runtime = static_cast<IPluginV3OneRuntime *>(plugin.getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    expect(runtime->setTactic(4) == 0 && serialised_lanes(plugin) == 4, "the chosen tactic must be serialised");
    std::unique_ptr<IPluginV3> read(
        creator.createPlugin("read", runtime->getFieldsToSerialize(), TensorRTPhase::kRUNTIME));
    std::unique_ptr<IPluginV3> copy(plugin.clone()), attached(runtime->attachToContext(nullptr));
    for (auto *one : {&read, &copy, &attached})
        expect(*one && serialised_lanes(**one) == 4, "the tactic must survive being read, cloned and attached");
    const int32_t three = 3;
    const PluginField wrong("lanes", &three, PluginFieldType::kINT32, 1);
    const PluginFieldCollection fields{1, &wrong};
    expect(!std::unique_ptr<IPluginV3>(creator.createPlugin("wrong", &fields, TensorRTPhase::kBUILD)),
           "a field lanes = 3 must be refused");
}

int enqueue(
    IPluginV3OneRuntime &runtime, const Sizes &sizes, DataType type, const void *const *inputs, void *const *outputs) {
    const auto descs = descs_of(shapes_of(sizes), type);
    std::array<PluginTensorDesc, 8> plain;
    for (int i = 0; i < 8; ++i)
        plain[i] = descs[i].desc;
    if (runtime.onShapeChange(plain.data(), 7, &plain[7], 1) != 0)
        return 1;
    return runtime.enqueue(plain.data(), &plain[7], inputs, outputs, nullptr, nullptr);
}

// Whether there was something to run enqueue on
bool check_enqueue(IPluginV3OneRuntime &runtime, bool on_host) {
    Memory memory(on_host);
    if (!memory.start()) {
        const void *inputs[7] = {};
        void *outputs[1] = {};
        finder.logger.last.clear();
        expect(enqueue(runtime, {1, 1, 1, 1, 1}, DataType::kFLOAT, inputs, outputs) != 0, "enqueue without a GPU");
        std::printf("no GPU; enqueue said: %s\n", finder.logger.last.c_str());
        return false;
    }
    const struct {
        DataType type;
        const char *name;
        double limit;
    } kinds[] = {
        {DataType::kFLOAT, "float32", 5e-6}, {DataType::kHALF, "float16", 2e-3}, {DataType::kBF16, "bfloat16", 1.6e-2}};
    const Sizes cases[] = {
        {1, 1, 1, 1, 1}, {2, 67, 102, 3, 16}, {3, 130, 33, 1, 5}, {1, 50, 20, 5, 33}, {1, 384, 1024, 1, 16}};
    for (const Sizes &n : cases)
        for (const auto &kind : kinds)
            for (int32_t lanes : {0, 1, 4, 16}) {
                expect(runtime.setTactic(lanes) == 0, "setTactic");
                if (lanes == 1 && n.state > 16) {
                    const void *inputs[7] = {};
                    void *outputs[1] = {};
                    expect(enqueue(runtime, n, kind.type, inputs, outputs) != 0, "one lane cannot hold these states");
                    continue;
                }
                const double error = error_of(memory, n, kind.type, [&](auto inputs, auto outputs) {
                    return enqueue(runtime, n, kind.type, inputs, outputs);
                });
                std::printf("batch %d length %d channels %d groups %d state %d %s lanes %d: error %.2e of max |y|\n",
                            int(n.batch), int(n.length), int(n.channels), int(n.groups), int(n.state), kind.name,
                            lanes, error);
                expect(error <= kind.limit, "the error is above " + std::to_string(kind.limit));
            }
    return true;
}

} // namespace

int main(int count, char **arguments) {
    const bool on_host = count == 3 && std::strcmp(arguments[2], "--host-memory") == 0;
    void *library = count == 2 || on_host ? dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL) : nullptr;
    using Creators = IPluginCreatorInterface *const *(int32_t &);
    auto creators = library ? reinterpret_cast<Creators *>(dlsym(library, "getCreators")) : nullptr;
    using SetFinder = void(ILoggerFinder *);
    auto set_finder = library ? reinterpret_cast<SetFinder *>(dlsym(library, "setLoggerFinder")) : nullptr;
    if (!creators || !set_finder) {
        const char *why = count == 2 || on_host ? dlerror() : nullptr;
        std::printf("usage: %s LIBRARY [--host-memory]\n%s\n", arguments[0], why ? why : "");
        return 2;
    }
    set_finder(&finder);
    int32_t number = 0;
    auto creator = static_cast<IPluginCreatorV3One *>(creators(number)[0]);
    expect(number == 1 && std::strcmp(creator->getInterfaceInfo().kind, "PLUGIN CREATOR_V3ONE") == 0, "one V3 creator");
    std::printf("%s::%s %s\n", creator->getPluginNamespace(), creator->getPluginName(), creator->getPluginVersion());
    const PluginField attributes[] = {{"plugin_namespace", "mambapro", PluginFieldType::kCHAR, 9},
                                      {"plugin_version", "1", PluginFieldType::kINT8, 2}};
    const PluginFieldCollection fields{2, attributes};
    std::unique_ptr<IPluginV3> plugin(creator->createPlugin("scan", &fields, TensorRTPhase::kBUILD));
    expect(plugin != nullptr, "fields that are not the plugin's must be passed over: " + finder.logger.last);
    if (!plugin)
        return 1;
    auto build = static_cast<IPluginV3OneBuild *>(plugin->getCapabilityInterface(PluginCapabilityType::kBUILD));
    auto runtime = static_cast<IPluginV3OneRuntime *>(plugin->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    auto core = static_cast<IPluginV3OneCore *>(plugin->getCapabilityInterface(PluginCapabilityType::kCORE));
    expect(std::strcmp(core->getPluginName(), creator->getPluginName()) == 0, "plugin and creator have one name");
    expect(build->getNbOutputs() == 1, "one output");
    check_types(*build);
    check_shapes(*build);
    check_tactics(*build, *runtime);
    check_serialisation(*creator, *plugin);
    try {
        const bool ran = check_enqueue(*runtime, on_host);
        const char *verdict = ran ? "all is right" : "all is right but enqueue, which has no GPU to run on";
        std::printf("%s\n", failures ? "something is wrong" : verdict);
        return failures ? 1 : ran ? 0 : 3;
    } catch (const std::exception &error) {
        std::printf("WRONG: %s\n", error.what());
        return 1;
    }
}
