"""Maps the repository root to the package `mambapro` and compiles the CPU kernel of the selective scan.

Everything else stands in pyproject.toml. With MAMBAPRO_WHEEL=device in the environment only what runs on a device is
packaged, as version `+device`: check, extract, bench and eval of bundles, without training, export and calibration.
"""

import hashlib
import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

DEVICE = os.environ.get("MAMBAPRO_WHEEL") == "device"
#: Top-level folders of the package; every folder below them that has an __init__.py belongs to it.
TOP = ("cli", "common", "plugins", "runtime", *(() if DEVICE else ("calib", "export", "graph", "synthetic", "train")))
ROOT_MODULES = {"__init__", "__main__", "errors", "moved", "telemetry"}


def folders():
    """Return the packages below the root, by dotted name."""
    return sorted(".".join(path.parent.parts) for top in TOP for path in Path(top).rglob("__init__.py"))


class BuildPackage(build_py):
    """Exclusion of setup.py and other root scripts from the package."""

    def find_package_modules(self, package, package_dir):
        """Return the modules of a package."""
        modules = super().find_package_modules(package, package_dir)
        return [m for m in modules if package != "mambapro" or m[1] in ROOT_MODULES]


def scan_kernel():
    """Build a plain shared library, not a Python module: one file serves every version of Python."""
    sources = sorted(Path("plugins/selective_scan/cpu/csrc").iterdir())
    # the same as in mambapro.plugins.selective_scan.cpu.kernel, which compares it
    fingerprint = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    return Extension(
        "mambapro.plugins.selective_scan.cpu.libmambapro_scan_cpu",
        sources=[str(path) for path in sources if path.suffix == ".cpp"],
        depends=[str(path) for path in sources if path.suffix != ".cpp"],
        define_macros=[("MAMBAPRO_SOURCE", f'"{fingerprint}"')],
        # -Wno-psabi: vectors are passed between functions of one file only
        extra_compile_args=["-std=c++17", "-O3", "-pthread", "-Wno-psabi"],
        # with the C++ library inside, a wheel runs on systems older than the one that built it
        extra_link_args=["-pthread"] + ["-static-libstdc++", "-static-libgcc"] * (sys.platform == "linux"),
        language="c++",
        # without a compiler the runtime still installs; what needs the kernel then says what to do
        optional=True,
    )


class BuildKernel(build_ext):
    """Build of the shared library under its plain name."""

    def get_ext_filename(self, fullname):
        """Return the path of the library."""
        return fullname.replace(".", "/") + ".so"


class AnyPython(bdist_wheel):
    """Wheel that depends on the platform, not on the version of Python."""

    def get_tag(self):
        """Return the tags of Python, ABI and platform."""
        return "py3", "none", super().get_tag()[2]


PACKAGES = ["mambapro", *(f"mambapro.{folder}" for folder in folders())]
DATA = {
    "mambapro": ["py.typed"],
    "mambapro.common": ["pages/*"],
    "mambapro.export.report": ["pages/*"],
    "mambapro.runtime.records": ["pages/*"],
    "mambapro.train.paper.explain": ["pages/*"],
    "mambapro.plugins.selective_scan": ["contract/*.cpp", "contract/*.h", "*/csrc/*", "cuda/ptx/*"],
    "mambapro.synthetic": ["*.toml"],
    "mambapro.synthetic.attributes": ["*.toml"],
    "mambapro.train.engine": ["recipes/*.toml"],
}

setup(
    package_dir={"mambapro": "."},
    packages=PACKAGES,
    package_data={package: files for package, files in DATA.items() if package in PACKAGES},
    # what another build left in build/ would get into the wheel
    options={"egg_info": {"tag_build": "+device"}, "build": {"build_base": "build/device"}} if DEVICE else {},
    ext_modules=[scan_kernel()],
    cmdclass={"build_py": BuildPackage, "build_ext": BuildKernel, "bdist_wheel": AnyPython},
)
