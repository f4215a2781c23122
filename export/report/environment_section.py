"""The section that says where and how: this machine, what made the bundle, what its files need."""

from __future__ import annotations

from .bundle_report import BundleReport, FileReport
from .html import Html, code, facts, folded, joined, section


def environment_section(report: BundleReport) -> Html:
    """The machine of the report, what made the bundle, how to make the page again."""
    env, metadata = report.environment, report.metadata
    memory = "unknown" if env.memory is None else f"{env.memory / 2**30:.1f} GiB"
    installed = ", ".join(f"{name} {version}" for name, version in env.packages.items() if version)
    machine = [
        ("mambapro", env.mambapro), ("Python", env.python), ("platform", env.platform),
        ("processor", f"{env.processor}, {env.cpus} usable"),
        ("instructions", " ".join(env.processor_flags) or "unknown"),
        ("memory", memory), ("GPU", ", ".join(env.gpus) or "none"), ("NVIDIA driver", env.nvidia_driver or "none"),
        *([("Jetson", env.jetson)] if env.jetson else []), ("packages", installed),
    ]  # fmt: skip
    made = [
        ("feature space", code(metadata.feature_space.id)),
        ("checkpoint", f"{metadata.checkpoint.file}, SHA-256 {metadata.checkpoint.sha256}"),
        ("exported", f"{metadata.created}, commit {metadata.git_commit or 'unknown'}"),
        ("with", ", ".join(f"{name} {version}" for name, version in metadata.versions.items())),
        ("this report", report.made),
    ]
    return section(
        "environment", "Environment",
        Html("<h3>This machine</h3>"), facts(machine), Html("<h3>The bundle</h3>"), facts(made), _sidecars(report),
    )  # fmt: skip


def _sidecars(report: BundleReport) -> Html:
    """What every file needs and what made it."""
    blocks = []
    for file in report.files:
        sidecar = file.sidecar
        pairs = [
            ("file", sidecar.file),
            ("state", _state(file)),
            ("SHA-256", code(sidecar.sha256)),
            ("made from", sidecar.onnx),
        ]
        pairs += [("hint", sidecar.hint)] if sidecar.hint else []
        pairs += [("type", file.measured.other_type)] if file.measured.other_type else []
        pairs += [("scales", code(sidecar.calibration))] if sidecar.calibration else []
        pairs += [("kept in float32", ", ".join(sidecar.widened))] if sidecar.widened else []
        if sidecar.profile is not None:
            profile = sidecar.profile
            pairs.append(("batches", f"{profile.smallest} to {profile.largest}, fastest at {profile.usual}"))
        if sidecar.engine is not None:
            engine = sidecar.engine
            pairs.append(("library", engine.library))
            pairs.append(("GPUs", f"compute capability {', '.join(engine.compute_capabilities)} ({engine.hardware})"))
            pairs.append(("platform", engine.platform))
            pairs.append(("scan plugin", engine.plugin.kind))
        if sidecar.versions:
            pairs.append(("with", ", ".join(f"{name} {version}" for name, version in sidecar.versions.items())))
        blocks.append(folded(file.name, facts(pairs)))
    return joined([Html("<h3>The files</h3>"), *blocks])


def _state(file: FileReport) -> str:
    where = f" on {file.sidecar.verified_on}" if file.sidecar.verified_on else ""
    return f"{file.sidecar.state}{where}"
