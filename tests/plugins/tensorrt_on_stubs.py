"""Imports the real Python bindings of TensorRT where its libraries, gigabytes of them, are not installed.

The bindings (1 MB) link three libraries; here stand-ins take their place, whose functions return null. Then everything
that is Python in TensorRT works as it is: tensorrt.plugin with its decorators, their checks, and the plugin classes.
What is C++ does not: there is no registry, no builder, and no dimension expression.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mambapro.plugins.compile import cxx_compiler

#: What the bindings take from the libraries.
FUNCTIONS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getInferLibVersion",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)


def import_tensorrt(folder: Path) -> Any:
    """The module tensorrt on stand-ins made in `folder`, to be called once in a process of its own."""
    spec = importlib.util.find_spec("tensorrt_bindings")
    assert spec is not None and spec.origin is not None, "tensorrt_bindings is not installed"
    bindings = Path(spec.origin).parent
    source = folder / "stand_ins.cpp"
    source.write_text("".join(f'extern "C" void *{name}() {{ return nullptr; }}\n' for name in FUNCTIONS))
    needed = set(re.findall(rb"libnv\w+\.so\.\d+", (bindings / "tensorrt.so").read_bytes()))
    for name in sorted(name.decode() for name in needed):
        command = [cxx_compiler(), "-shared", "-fPIC", str(source), "-o", str(folder / name), f"-Wl,-soname,{name}"]
        subprocess.run(command, check=True)
        ctypes.CDLL(str(folder / name), ctypes.RTLD_GLOBAL)
    # the wheel tensorrt, which would bring the libraries, holds just this
    package = folder / "tensorrt"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from tensorrt_bindings import *\nfrom tensorrt_bindings import __version__\n", encoding="utf-8"
    )
    (package / "plugin").symlink_to(bindings / "plugin")
    sys.path.insert(0, str(folder))
    return importlib.import_module("tensorrt")
