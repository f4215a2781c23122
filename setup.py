"""Maps the repository root to the package `mambapro`; everything else stands in pyproject.toml."""

from setuptools import setup
from setuptools.command.build_py import build_py

FOLDERS = [
    "calib",
    "cli",
    "export",
    "plugins",
    "plugins.selective_scan",
    "runtime",
    "runtime.backends",
    "runtime.data",
    "runtime.data.drawn",
    "train",
    "train.models",
]
ROOT_MODULES = {"__init__", "__main__", "errors"}


class BuildPackage(build_py):
    """Leaves setup.py and other root scripts out of the package: the root holds more than the package does."""

    def find_package_modules(self, package, package_dir):
        modules = super().find_package_modules(package, package_dir)
        return [m for m in modules if package != "mambapro" or m[1] in ROOT_MODULES]


setup(
    package_dir={"mambapro": "."},
    packages=["mambapro", *(f"mambapro.{folder}" for folder in FOLDERS)],
    package_data={"mambapro": ["py.typed"]},
    cmdclass={"build_py": BuildPackage},
)
