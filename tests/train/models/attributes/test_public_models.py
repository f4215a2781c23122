"""Public checkpoints of attribute models and towers: by name or recognized, strict, through wrappers and renames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attribute_reference import images, label_vectors, recorded, state_of, token_ids
from mambapro.errors import ArtifactError, InputError
from mambapro.train.models.attributes.named_models import NAMED_MODELS
from mambapro.train.models.checkpoints.public_models import load_part
from mambapro.train.models.checkpoints.weights import load_checkpoint, save_checkpoint
from mambapro.train.models.model_spec import Model
from mambapro.train.models.parts.patch_embedding import resize_positions
from mambapro.train.models.registry import model_class
from torch import Tensor

#: Released names of a vanilla VMamba's keys, and the later ones.
OLD_NAMES = {
    "patch_embed.0.": "patch_embed.proj.",
    "patch_embed.2.": "patch_embed.norm.",
    ".op.": ".self_attention.",
    "classifier.norm.": "norm.",
    "classifier.head.": "head.",
}
TINY = ("mini_par_image_vim_s", "mini_par_vsf_vim_s", "mini_hybrid5_mahdft", "mini_hybrid7_kdtm")


def built(name: str, **changes: Any) -> Model:
    named = NAMED_MODELS[name]
    model = model_class(named.kind)(replace(named.config, **changes))
    model.load_state_dict(state_of(model))
    return model.eval()


def saved(folder: Path, content: Any) -> Path:
    torch.save(content, folder / "public.pth")
    return folder / "public.pth"


@pytest.fixture
def tower() -> dict[str, Tensor]:
    return built("mini_vim").state_dict()


@pytest.mark.parametrize("wrap", [dict, lambda s: {"model": s}, lambda s: {"state_dict": s, "epoch": 3}])
@pytest.mark.parametrize("name", ["mini_vim", None])
def test_wrapped_file(tmp_path: Path, tower: dict, wrap: Any, name: str | None) -> None:
    """A tower is loaded from inside its wrappers, by its name or by its keys, and returns the reference's logits."""
    path = saved(tmp_path, wrap({f"module.{key}": value for key, value in tower.items()}))

    model = load_checkpoint(path, model=name)

    logits = model(torch.from_numpy(images(64))).detach().numpy()
    np.testing.assert_allclose(logits, recorded("mini_vim")["logits"], rtol=0, atol=1e-5)


def test_old_names(tmp_path: Path) -> None:
    """First-generation VMamba files are read under their old names."""
    state = built("mini_vmamba_v0").state_dict()
    old = {}
    for key, value in state.items():
        for new, name in OLD_NAMES.items():
            key = key.replace(new, name)
        if ".blocks." in key and ".norm." in key and "self_attention" not in key:
            key = key.replace(".norm.", ".ln_1.")
        old[key] = value

    model = load_checkpoint(saved(tmp_path, {"model": old}))

    assert model.kind == "vmamba" and "norm.weight" in old and "layers.0.blocks.0.ln_1.weight" in old
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_linears_stored_as_convolutions(tmp_path: Path) -> None:
    """Later VMamba files store Linears with two more axes."""
    state = built("mini_vmamba_s2").state_dict()
    convs = {k: v[:, :, None, None] if k.endswith(("proj.weight", "fc1.weight")) else v for k, v in state.items()}

    model = load_checkpoint(saved(tmp_path, convs))

    assert torch.equal(
        model.state_dict()["layers.0.blocks.0.mlp.fc1.weight"], state["layers.0.blocks.0.mlp.fc1.weight"]
    )


@pytest.mark.parametrize("change", ["missing", "surplus", "shape"])
def test_strict(tmp_path: Path, tower: dict, change: str) -> None:
    """A key too few, a key too many and another shape are refused, each named."""
    key = "layers.2.mixer.A_b_log"
    state = dict(tower)
    if change == "missing":
        del state[key]
    elif change == "surplus":
        key = "layers.2.mixer.other"
        state[key] = torch.zeros(1)
    else:
        state[key] = torch.zeros(3, 3)

    with pytest.raises(ArtifactError, match=key):
        load_checkpoint(saved(tmp_path, state), model="mini_vim")


def test_unknown_name(tmp_path: Path, tower: dict) -> None:
    """A name that no model has is refused with those that there are."""
    with pytest.raises(InputError, match=r"'vim_xl'.*vim_s"):
        load_checkpoint(saved(tmp_path, tower), model="vim_xl")


@pytest.mark.parametrize("name", ["mini_vim", "vim_s"])
def test_own_files_take_no_name(tmp_path: Path, name: str) -> None:
    """A file of save_checkpoint holds its model; a name, its own too, would have no effect and is refused."""
    save_checkpoint(built("mini_vim"), tmp_path / "own.safetensors")

    with pytest.raises(InputError, match=r"own\.safetensors holds a model .* Leave the name of the model out"):
        load_checkpoint(tmp_path / "own.safetensors", model=name)


def test_not_finite(tmp_path: Path, tower: dict) -> None:
    """NaN is refused and named."""
    with pytest.raises(ArtifactError, match="norm_f"):
        load_checkpoint(saved(tmp_path, {**tower, "norm_f.weight": torch.full((32,), torch.nan)}))


@pytest.mark.parametrize("name", TINY)
def test_own_files(tmp_path: Path, name: str) -> None:
    """A file of save_checkpoint is the model again, with the words of its labels."""
    model = built(name)
    if model.constants:
        model.set_constants(label_tokens=token_ids(10))
    x = torch.from_numpy(images(64))
    save_checkpoint(model, tmp_path / "own.safetensors")

    again = load_checkpoint(tmp_path / "own.safetensors")

    with torch.inference_mode():
        assert torch.equal(again(x), model(x)) and again(x).shape == (2, 10)


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "alias", "own"),
    [
        ("hybrid1_pafusion", "vim_layers.3.mixer.D", "vim.layers.3.mixer.D"),
        ("hybrid7_kdtm", None, None),
    ],
)
def test_recognized(tmp_path: Path, name: str, alias: str | None, own: str | None) -> None:
    """A full-size file is recognized by its keys alone, with a tensor under both of its names."""
    with torch.device("meta"):
        named = NAMED_MODELS[name]
        shapes = model_class(named.kind)(named.config).state_dict()
    state = {key: torch.zeros(value.shape, dtype=value.dtype) for key, value in shapes.items()}
    if alias:
        state[alias] = state[own]

    assert load_checkpoint(saved(tmp_path, state)).kind == named.kind


def test_second_name_with_other_values(tmp_path: Path) -> None:
    """A tensor that differs from itself under its second name is refused."""
    state = built("mini_hybrid1_pafusion").state_dict()
    state["vim_layers.0.mixer.D"] = state["vim.layers.0.mixer.D"] + 1

    with pytest.raises(ArtifactError, match="with other values"):
        load_checkpoint(saved(tmp_path, state), model="mini_hybrid1_pafusion")


class TestLabels:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return saved(tmp_path, built("mini_par_vsf_vim_s").state_dict())

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({}, "label_tokens"),
            ({"label_tokens": token_ids(9)}, "9 labels"),
            ({"label_tokens": token_ids(10) + 60_000}, "vocabulary"),
            ({"label_vectors": label_vectors(10, 63)}, r"\(10, 64\)"),
            ({"label_vectors": label_vectors(10, 64) * np.nan}, "NaN"),
        ],
    )
    def test_wrong_words(self, path: Path, given: dict, message: str) -> None:
        """Words that are missing, of other labels, beyond the vocabulary or not finite are refused."""
        with pytest.raises(InputError, match=message):
            load_checkpoint(path, model="mini_par_vsf_vim_s", **given)

    def test_without_encoder(self, tmp_path: Path) -> None:
        """A file without the text encoder needs the vectors of its labels, and runs with them as the whole one."""
        model = built("mini_par_vsf_vim_s")
        state = {key: value for key, value in model.state_dict().items() if not key.startswith("mamba.")}
        path, vectors = saved(tmp_path, state), label_vectors(10, 64)
        model.set_constants(label_vectors=vectors)
        x = torch.from_numpy(images(64))

        small = load_checkpoint(path, model="mini_par_vsf_vim_s", label_vectors=vectors)

        with torch.inference_mode():
            assert torch.equal(small(x), model(x))
        with pytest.raises(InputError, match="no text encoder"):
            load_checkpoint(path, model="mini_par_vsf_vim_s", label_tokens=token_ids(10))

    @pytest.mark.parametrize("stored", ["label_tokens", "label_vectors"])
    @pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
    def test_own_files_with_other_words(self, tmp_path: Path, stored: str, convert: Any) -> None:
        """Words given with a file of save_checkpoint replace its own, in both forms."""
        first = {"label_tokens": token_ids(10), "label_vectors": label_vectors(10, 64)}
        second = {"label_tokens": token_ids(10, 5), "label_vectors": label_vectors(10, 64, 5)}
        model, path, x = built("mini_par_vsf_vim_s"), tmp_path / "own.safetensors", torch.from_numpy(images(64))
        model.set_constants(**{stored: first[stored]})
        save_checkpoint(model, path)

        for words in ({}, *({name: value} for name, value in second.items())):
            loaded = load_checkpoint(path, **{name: convert(value) for name, value in words.items()})
            expected = built("mini_par_vsf_vim_s")
            expected.set_constants(**(words or {stored: first[stored]}))
            with torch.inference_mode():
                # tensors of a file are aligned otherwise, which changes the last bits
                torch.testing.assert_close(loaded(x), expected(x), rtol=0, atol=1e-5)
                assert torch.allclose(loaded(x), model(x), rtol=0, atol=1e-4) == (not words)

    def test_words_replace_each_other(self) -> None:
        """Token ids after vectors are encoded, also where the ids before them were encoded already."""
        model, x = built("mini_par_vsf_vim_s"), torch.from_numpy(images(64))
        with torch.inference_mode():
            model.set_constants(label_tokens=token_ids(10))
            first = model(x)
            model.set_constants(label_vectors=label_vectors(10, 64))
            second = model(x)
            model.set_constants(label_tokens=token_ids(10))
            third = model(x)

        assert torch.equal(first, third) and not torch.equal(first, second)
        assert model.label_vectors is None

    def test_encoded_once(self, path: Path) -> None:
        """In eval mode the labels are encoded once, and again after a weight changed."""
        model = load_checkpoint(path, model="mini_par_vsf_vim_s", label_tokens=token_ids(10))
        with torch.inference_mode():
            first, second = model.label_matrix(), model.label_matrix()
        with torch.no_grad():
            model.mamba.backbone.norm_f.weight.mul_(2)
            third = model.label_matrix()

        assert first is second
        torch.testing.assert_close(third, 2 * first)


class TestPositions:
    def test_released_way(self) -> None:
        """The authors' resize takes the first row for the class token's, as the reference does."""
        from attribute_reference import weight

        table = torch.from_numpy(weight("pos_embed", (1, 730, 48))).double()

        resized = resize_positions(table, (14, 14), 98, "released")

        np.testing.assert_allclose(resized[:, :, ::8].numpy(), recorded("units")["posembed_14"], rtol=0, atol=1e-6)

    def test_aligned_way(self) -> None:
        """The class row moves from the middle to the new middle unchanged, and a smooth grid stays smooth."""
        grid = torch.arange(36.0).view(1, 36, 1)
        table = torch.cat((grid[:, :18], torch.full((1, 1, 1), 999.0), grid[:, 18:]), 1)

        resized = resize_positions(table, (4, 2), 4)

        assert resized.shape == (1, 9, 1) and resized[0, 4] == 999
        rest = torch.cat((resized[0, :4, 0], resized[0, 5:, 0]))
        assert rest.max() < 36 and bool((rest.diff() > 0).all())

    def test_other_grid_in_a_file(self, tmp_path: Path, tower: dict) -> None:
        """A tower is loaded for another image size: its positions are resized, in the way that was asked for."""
        path = saved(tmp_path, tower)

        aligned = load_checkpoint(path, (96, 48), model="mini_vim")
        released = load_checkpoint(path, (96, 48), model="mini_vim", position_resize="released")

        assert aligned.pos_embed.shape == (1, 19, 32)
        assert torch.equal(aligned.pos_embed[0, 9], tower["pos_embed"][0, 8])
        assert torch.equal(released.pos_embed[0, 0], tower["pos_embed"][0, 0])
        with pytest.raises(InputError, match="square grid"):
            resize_positions(torch.zeros(1, 13, 4), (14, 14), 98)


def test_part_of_a_model(tmp_path: Path, tower: dict) -> None:
    """A public tower is loaded into an attribute model; its classifier of other classes is left out."""
    model = built("mini_par_image_vim_s", vim=replace(NAMED_MODELS["mini_vim"].config, classes=7))
    head = model.vim.head.weight.clone()

    load_part(model.vim, saved(tmp_path, {"model": tower}))

    assert torch.equal(model.vim.layers[1].mixer.D, tower["layers.1.mixer.D"]) and torch.equal(
        model.vim.head.weight, head
    )
