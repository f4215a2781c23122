"""How far an artifact may be from PyTorch, by precision."""

from __future__ import annotations

#: Largest 1 - cosine of an embedding. A wrong scan order costs only 1e-5, so the limits are tight.
LIMITS = {"fp32": 1e-8, "fp16": 1e-4, "bf16": 1e-3, "int8": 1e-2}

#: Largest loss of mAP, a fraction.
MAP_DROPS = {"fp32": 0.005, "fp16": 0.005, "bf16": 0.005, "int8": 0.01}
