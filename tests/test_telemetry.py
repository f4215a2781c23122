"""Nothing is reported to anybody: no library that mambapro loads sends usage data or leaves an identity on the disk.

The look-ups are caught by a small library of the dynamic loader, so that also what C++ code asks for is seen.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mambapro import telemetry

#: Writes down every name that is looked up and every connection to another machine; local sockets are fine.
TRAP = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static void note(const char *what, const char *name) {
    const char *path = getenv("TRAP_FILE");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file) return;
    fprintf(file, "%s %s\n", what, name ? name : "");
    fclose(file);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    note("getaddrinfo", node);
    return EAI_FAIL;
}

struct hostent *gethostbyname(const char *name) {
    note("gethostbyname", name);
    return NULL;
}

int connect(int handle, const struct sockaddr *address, socklen_t size) {
    if (address->sa_family == AF_INET || address->sa_family == AF_INET6) note("connect", "");
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    return real(handle, address, size);
}

ssize_t sendto(int handle, const void *data, size_t size, int flags, const struct sockaddr *address, socklen_t length) {
    if (address && (address->sa_family == AF_INET || address->sa_family == AF_INET6)) note("sendto", "");
    ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "sendto");
    return real(handle, data, size, flags, address, length);
}
"""

#: Loads what the commands load and stays for a moment, since reports are sent from threads in the background.
USE = """
import sys, time
import mambapro
import numpy as np
from mambapro.runtime.backends.onnxruntime import OnnxRuntimeBackend
from mambapro.runtime.environment import identity_model

def use(make):
    assert make(identity_model(), threads=1).run({"x": np.ones(1, np.float32)})["y"] == 1

for name in sys.argv[1:]:
    if name == "onnxruntime":
        use(OnnxRuntimeBackend)
    elif name == "openvino":
        from mambapro.runtime.backends.openvino import OpenVinoBackend
        use(OpenVinoBackend)
    else:
        __import__(name)
time.sleep(0.5)
"""


def left_in(home: Path) -> list[str]:
    """Files below a home folder."""
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def environment_of(home: Path, **more: str) -> dict[str, str]:
    """Of a user with a fresh home folder, whose cache lies elsewhere, who switched no telemetry off."""
    kept = {name: value for name, value in os.environ.items() if name not in telemetry.VARIABLES and name != "CI"}
    kept.pop("XDG_CACHE_HOME", None)
    cache = os.environ.get("MAMBAPRO_CACHE") or str(Path.home() / ".cache" / "mambapro")
    return {**kept, "HOME": str(home), "MAMBAPRO_CACHE": cache, **more}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A fresh home folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def trap(tmp_path: Path) -> dict[str, str]:
    """Variables that catch look-ups; what was caught is in the file TRAP_FILE."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and a C compiler to catch look-ups")
    (tmp_path / "trap.c").write_text(TRAP)
    library = tmp_path / "trap.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "trap.c", "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "TRAP_FILE": str(tmp_path / "caught")}


def test_the_trap_catches(trap: dict[str, str], home: Path) -> None:
    """A look-up by Python and one by C code leave a line each: the test below can fail."""
    code = "import ctypes, socket\ntry: socket.getaddrinfo('a.invalid', 1)\nexcept OSError: pass\n"
    code += "ctypes.CDLL(None).gethostbyname(b'b.invalid')"

    subprocess.run([sys.executable, "-c", code], env=environment_of(home, **trap), check=True)

    assert Path(trap["TRAP_FILE"]).read_text() == "getaddrinfo a.invalid\ngethostbyname b.invalid\n"


def test_no_library_reports(trap: dict[str, str], home: Path) -> None:
    """ONNX Runtime and OpenVINO run a model in a fresh home: no name is looked up, no file is left."""
    command = [sys.executable, "-c", USE, "onnxruntime", "openvino"]

    subprocess.run(command, env=environment_of(home, **trap), check=True, timeout=120)

    assert not Path(trap["TRAP_FILE"]).exists()
    assert left_in(home) == []


def test_no_file_is_left_whatever_the_user_had_set(home: Path) -> None:
    """There is no way to switch reports on: a variable that says otherwise is overwritten, for children too."""
    code = USE + "import os, subprocess; subprocess.run([sys.executable, '-c', 'import onnxruntime'], check=True)"
    given = dict.fromkeys(telemetry.VARIABLES, "0")

    command = [sys.executable, "-c", code, "onnxruntime", "openvino"]
    subprocess.run(command, env=environment_of(home, **given), check=True, timeout=120)

    assert left_in(home) == []


def test_a_command_leaves_nothing(home: Path) -> None:
    """`mambapro env`, which runs ONNX Runtime, says that telemetry is off and leaves nothing."""
    command = [sys.executable, "-m", "mambapro", "env"]

    done = subprocess.run(command, env=environment_of(home), capture_output=True, text=True, check=True, timeout=120)

    assert "telemetry" in done.stdout and "off (ONNX Runtime, OpenVINO, Hugging Face)" in done.stdout
    assert left_in(home) == []


def test_training_and_export_stay_quiet(trap: dict[str, str], home: Path) -> None:
    """What training and export load looks nothing up either."""
    names = ("open_clip", "huggingface_hub")

    subprocess.run([sys.executable, "-c", USE, *names], env=environment_of(home, **trap), check=True, timeout=300)

    assert not Path(trap["TRAP_FILE"]).exists()


def test_what_was_imported_too_early_is_told(home: Path) -> None:
    """A library that reported before mambapro was imported is named."""
    code = "import onnxruntime; from mambapro import telemetry; print(telemetry.early(), telemetry.describe())"

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment_of(home), capture_output=True, text=True, check=True
    )

    assert "('ONNX Runtime',) off, but ONNX Runtime was imported before mambapro" in done.stdout


def test_variables_are_those_that_the_libraries_heed() -> None:
    """They are set in this process, and Hugging Face's own module has read them."""
    from huggingface_hub import constants

    assert {os.environ.get(name) for name in telemetry.VARIABLES} == {"1"}
    assert constants.HF_HUB_DISABLE_TELEMETRY is True
