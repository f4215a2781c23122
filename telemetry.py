"""Usage reports of third-party libraries, switched off for this process and its children when mambapro is imported.

ONNX Runtime from 1.29 keeps events in the user's cache folder and sends them to Microsoft, `import openvino` reports
to Google Analytics, Hugging Face's hub counts downloads. Nothing of a surveillance system may leave its network, so
there is no option that switches them on: a variable that the user set otherwise is overwritten.
"""

from __future__ import annotations

import os
import sys

#: Variable -> who heeds it.
VARIABLES = {
    "ORT_DISABLE_TELEMETRY": "ONNX Runtime",
    "HF_HUB_DISABLE_TELEMETRY": "Hugging Face",
    "DO_NOT_TRACK": "others that follow the convention",
}
#: OpenVINO's reporting package. It has no variable; where it cannot be imported OpenVINO goes on without it.
OPENVINO_PACKAGE = "openvino_telemetry"


def switch_off() -> None:
    """Set the variables, which children inherit, and keep OpenVINO's reporting package from being imported."""
    os.environ.update(dict.fromkeys(VARIABLES, "1"))
    sys.modules[OPENVINO_PACKAGE] = None  # type: ignore[assignment]


def early() -> tuple[str, ...]:
    """Libraries whose reports cannot be taken back: they were imported before mambapro."""
    return _early


def describe() -> str:
    """Return the state in a few words, for `mambapro env`."""
    if not _early:
        return "off (ONNX Runtime, OpenVINO, Hugging Face)"
    return f"off, but {', '.join(_early)} was imported before mambapro; import mambapro first"


def _imported_before() -> tuple[str, ...]:
    found = []
    if "onnxruntime" in sys.modules and os.environ.get("ORT_DISABLE_TELEMETRY") != "1":
        found.append("ONNX Runtime")
    if sys.modules.get(OPENVINO_PACKAGE) is not None:
        found.append("OpenVINO")
    return tuple(found)


_early = _imported_before()
