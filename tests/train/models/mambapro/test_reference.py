"""The model against the reference: every configuration, every stage that was recorded."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mambapro.train.models.checkpoints.weights import load_checkpoint, save_checkpoint
from reference_model import CONFIGS, FOLDER, expected, images, manifest, normalised, weight

#: Largest absolute difference of each recorded stage; the feature's standard deviation is 1.3.
TOLERANCE = {
    "cls64": 1e-4,
    "embed_cls": 1e-5,
    "layer_cls": 2e-4,
    "layer_mean": 1e-4,
    "prompt_l1": 5e-5,
    "ma1_intra_mean": 5e-5,
    "ma1_inter_mean": 5e-5,
    "ma2_intra_mean": 5e-5,
    "ma2_inter_mean": 5e-5,
}


def test_generator_makes_the_reference_weights() -> None:
    """Weights and inputs have the checksums of those the reference ran with."""
    import zlib

    sums = json.loads((FOLDER / "crc.json").read_text())
    shapes = {entry.key: entry.shape for entry in manifest("rgbnt201_full").entries}
    pixels = normalised(images("rgbnt201", (256, 128)))

    found = {key: zlib.crc32(weight(key, shapes[key]).tobytes()) for key in sums["weights"]}
    inputs = {name: zlib.crc32(pixels[:, i].tobytes()) for i, name in enumerate(("RGB", "NI", "TI"))}

    assert found == sums["weights"]
    assert inputs.items() <= sums["inputs"].items()


@pytest.mark.full
@pytest.mark.parametrize("config", CONFIGS)
def test_model_returns_the_reference_features(config: str, reference_checkpoint) -> None:
    """Features agree with the reference's float64 run within 1e-4, and every stage within its tolerance."""
    about, wanted = manifest(config), expected(config)
    model = load_checkpoint(reference_checkpoint(config), about.image_size, **about.switches)
    pixels = torch.from_numpy(normalised(images(about.dataset, about.image_size)))
    stages = _record(model)

    with torch.inference_mode():
        feature = model(pixels, torch.from_numpy(wanted["cam"])).numpy()

    np.testing.assert_allclose(feature, wanted["feat64"], rtol=0, atol=1e-4)
    found = _summaries(stages, about.flags["PROMPT"], about.flags["MAMBA"])
    compared = set(TOLERANCE) & set(wanted)
    assert compared >= {"cls64"} and compared <= set(found)
    for name in compared:
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=TOLERANCE[name], err_msg=name)


def _record(model: torch.nn.Module) -> dict[str, list[torch.Tensor]]:
    """Outputs of the parts, by name, as they are computed."""
    stages: dict[str, list[torch.Tensor]] = {}
    parts = {"embedding": [model.backbone.embedding], "layer": list(model.backbone.layers)}
    parts |= {"tokens": [model.backbone], "half": model.aggregation.halves}
    for name, modules in parts.items():
        for module in modules:
            module.register_forward_hook(lambda _, __, output, name=name: stages.setdefault(name, []).append(output))
    return stages


def _summaries(stages: dict, prompt: bool, mamba: bool) -> dict[str, np.ndarray]:
    """The recorded stages in the shapes of the reference: (3, B, ...), every 16th channel inside the backbone."""
    layers = [tokens.unflatten(0, (3, -1))[..., ::16] for tokens, _ in stages["layer"]]
    found = {
        "cls64": stages["tokens"][0][:, :, 0],
        "embed_cls": stages["embedding"][0].unflatten(0, (3, -1))[:, :, 0, ::16],
        "layer_cls": torch.stack([x[:, :, 0] for x in layers]),
        "layer_mean": torch.stack([x.mean(2) for x in layers]),
    }
    if prompt:
        # (3, B, tokens, width) -> (3, tokens, B, width)
        found["prompt_l1"] = stages["layer"][0][1].transpose(1, 2)[..., ::16]
    if mamba:
        names = ("ma1_intra_mean", "ma1_inter_mean", "ma2_intra_mean", "ma2_inter_mean")
        found |= {name: half.mean(2) for name, half in zip(names, stages["half"], strict=True)}
    return {name: value.numpy() for name, value in found.items()}


@pytest.mark.full
@pytest.mark.parametrize("config", ("rgbnt201_full", "msvr310_full", "rgbnt201_mamba_bi"))
def test_authors_layout_survives_a_round_trip(config: str, reference_checkpoint, tmp_path) -> None:
    """Loaded and saved in the authors' layout: same keys in the same order, same shapes, types and values."""
    about = manifest(config)
    source = reference_checkpoint(config)

    save_checkpoint(load_checkpoint(source, about.image_size), tmp_path / "back.pth", layout="authors")

    before, after = (torch.load(path, weights_only=True) for path in (source, tmp_path / "back.pth"))
    listed = [(entry.key, entry.shape, entry.dtype) for entry in about.entries]
    assert listed == [(key, tuple(v.shape), str(v.dtype).removeprefix("torch.")) for key, v in after.items()]
    assert all(torch.equal(before[key], after[key]) for key in before)
