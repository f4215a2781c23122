"""Checkpoints: what is read, what is refused, what is said."""

from __future__ import annotations

import os
import pickle
import signal
from pathlib import Path

import pytest
import torch
from mambapro.errors import ArtifactError, InputError, SetupError
from mambapro.train.models.checkpoints.weights import load_checkpoint, save_checkpoint
from mambapro.train.models.mambapro.mambapro import MambaPro
from mambapro.train.models.mambapro.sizes import build_model

SIZE = (64, 32)


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    """An untrained tiny model."""
    torch.manual_seed(0)
    return build_model("tiny", image_size=SIZE, cameras=3, identities=7, sie_coe=2.5)


@pytest.fixture
def authors(model: torch.nn.Module, tmp_path: Path) -> Path:
    """The model's weights in the authors' layout."""
    save_checkpoint(model, tmp_path / "authors.pth", layout="authors")
    return tmp_path / "authors.pth"


def equal(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    """Whether two models hold the same values."""
    return all(torch.equal(x, b.state_dict()[key]) for key, x in a.state_dict().items())


def edited(path: Path, edit) -> Path:
    """A copy of a plain state dict with something changed."""
    content = torch.load(path, weights_only=True)
    edit(content)
    torch.save(content, path.with_name("edited.pth"))
    return path.with_name("edited.pth")


class TestOurFormats:
    @pytest.mark.parametrize("name", ("model.safetensors", "model.pth"))
    def test_hold_the_config(self, name: str, model: torch.nn.Module, tmp_path: Path) -> None:
        """A saved model comes back with weights, config and what was said of its training; nothing is asked for."""
        save_checkpoint(model, tmp_path / name, training={"dataset": "rgbnt201"})

        loaded = load_checkpoint(tmp_path / name)

        assert loaded.config == model.config
        assert equal(loaded, model)
        assert loaded.trained_on == {"dataset": "rgbnt201"}
        assert not loaded.training

    def test_another_image_size_is_refused(self, model: torch.nn.Module, tmp_path: Path) -> None:
        """InputError when the given size is not the stored one."""
        save_checkpoint(model, tmp_path / "model.safetensors")

        with pytest.raises(InputError, match="64x32"):
            load_checkpoint(tmp_path / "model.safetensors", (32, 64))

    def test_a_newer_format_is_refused(self, model: torch.nn.Module, tmp_path: Path) -> None:
        """ArtifactError when the file says a format this version does not know."""
        path = tmp_path / "model.pth"
        save_checkpoint(model, path)
        path = edited(path, lambda content: content["mambapro"].update(version=99))

        with pytest.raises(ArtifactError, match="format 99"):
            load_checkpoint(path)

    def test_another_suffix_is_refused(self, model: torch.nn.Module, tmp_path: Path) -> None:
        """InputError for a suffix that stands for no format, and nothing is written."""
        with pytest.raises(InputError, match="suffix"):
            save_checkpoint(model, tmp_path / "model.ckpt")

        assert list(tmp_path.iterdir()) == []

    def test_an_existing_file_is_kept(self, model: torch.nn.Module, tmp_path: Path) -> None:
        """InputError when the file is there and overwrite is off; the file is as before."""
        (tmp_path / "model.pth").write_bytes(b"precious")

        with pytest.raises(InputError, match="exists"):
            save_checkpoint(model, tmp_path / "model.pth", overwrite=False)

        assert (tmp_path / "model.pth").read_bytes() == b"precious"


class TestAuthorsLayout:
    def test_sizes_are_read_off_the_shapes(self, model: torch.nn.Module, authors: Path) -> None:
        """All sizes come from the shapes; the SIE weight, which no shape tells, is what the caller says."""
        loaded = load_checkpoint(authors, SIZE, sie_coe=2.5)

        assert loaded.config == model.config
        assert equal(loaded, model)

    def test_a_module_prefix_is_accepted(self, model: torch.nn.Module, authors: Path) -> None:
        """Keys of a model that was wrapped for several GPUs load as well."""
        content = torch.load(authors, weights_only=True)
        torch.save({f"module.{key}": value for key, value in content.items()}, authors)

        assert equal(load_checkpoint(authors, SIZE), model)

    def test_half_precision_is_widened(self, authors: Path) -> None:
        """A float16 state dict loads as float32."""
        path = edited(authors, lambda c: c.update({k: v.half() for k, v in c.items() if v.is_floating_point()}))

        loaded = load_checkpoint(path, SIZE)

        assert {value.dtype for value in loaded.parameters()} == {torch.float32}

    def test_the_image_size_is_asked_for(self, authors: Path) -> None:
        """InputError that says why and how when the image size is missing."""
        with pytest.raises(InputError, match="--image-size"):
            load_checkpoint(authors)

    def test_another_number_of_patches_is_refused(self, authors: Path) -> None:
        """InputError with both numbers when the image size does not give the checkpoint's patches."""
        with pytest.raises(InputError, match=r"4 x 4 = 16 patches .* for 8"):
            load_checkpoint(authors, (64, 64))

    def test_assumptions_are_logged(self, authors: Path, caplog: pytest.LogCaptureFixture) -> None:
        """What neither file nor caller says is logged with the value taken."""
        with caplog.at_level("INFO", logger="mambapro"):
            load_checkpoint(authors, SIZE, prompt=False)

        assert "adapter=True" in caplog.text
        assert "sie_coe=1.0" in caplog.text
        assert "prompt=" not in caplog.text

    def test_a_stored_setting_is_not_overruled_unnoticed(
        self, model: torch.nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Our files hold the switches; another value is taken, for experiments, with a warning."""
        save_checkpoint(model, tmp_path / "model.pth")
        load_checkpoint(tmp_path / "model.pth", mamba=True)
        assert "was trained with" not in caplog.text

        load_checkpoint(tmp_path / "model.pth", mamba=False)

        assert "was trained with mamba=True; it is used with mamba=False" in caplog.text

    def test_an_unknown_switch_is_refused(self, authors: Path) -> None:
        """InputError that lists the switches."""
        with pytest.raises(InputError, match=r"no --promt\. .* are prompt"):
            load_checkpoint(authors, SIZE, promt=False)

    def test_without_camera_embedding(self, authors: Path) -> None:
        """A checkpoint that never had a camera table loads as a model without one."""
        path = edited(authors, lambda content: content.pop("BACKBONE.cv_embed"))

        loaded = load_checkpoint(path, SIZE)

        assert (loaded.config.cameras, loaded.config.sie_camera) == (0, False)


class TestDamage:
    def test_all_differing_entries_are_named(self, authors: Path) -> None:
        """Missing, surplus and misshapen keys are told in one ArtifactError."""

        def edit(content: dict) -> None:
            del content["bottleneck.weight"]
            content["stray"] = torch.zeros(2)
            content["classifier_fuse.weight"] = torch.zeros(3, 3)

        with pytest.raises(ArtifactError, match="3 entries differ") as caught:
            load_checkpoint(edited(authors, edit), SIZE)

        for part in ("missing: bottleneck.weight", "surplus: stray (2,)", "shape of classifier_fuse.weight: (3, 3)"):
            assert part in str(caught.value)

    def test_ten_are_shown(self, authors: Path) -> None:
        """Of many differing entries ten are shown and the rest counted."""
        path = edited(authors, lambda content: content.update({f"stray{i}": torch.zeros(1) for i in range(25)}))

        with pytest.raises(ArtifactError, match="and 15 more"):
            load_checkpoint(path, SIZE)

    @pytest.mark.parametrize("size", (0, 1, 100, 5000, 200_000))
    def test_a_truncated_file_is_refused(self, authors: Path, size: int) -> None:
        """ArtifactError for a file that ends early."""
        authors.write_bytes(authors.read_bytes()[:size])

        with pytest.raises(ArtifactError, match=r"truncated|empty"):
            load_checkpoint(authors, SIZE)

    def test_a_truncated_safetensors_is_refused(self, model: torch.nn.Module, tmp_path: Path) -> None:
        """ArtifactError for a .safetensors file that ends early."""
        path = tmp_path / "model.safetensors"
        save_checkpoint(model, path)
        path.write_bytes(path.read_bytes()[:10_000])

        with pytest.raises(ArtifactError, match="readable"):
            load_checkpoint(path)

    @pytest.mark.parametrize("zipped", (True, False))
    def test_a_pickle_that_runs_code_does_not_run(self, zipped: bool, tmp_path: Path) -> None:
        """A file whose reading would run a command is refused, and the command has not run."""
        trap = tmp_path / "ran"

        class Evil:
            def __reduce__(self) -> tuple:
                return os.system, (f"touch {trap}",)

        path = tmp_path / "evil.pth"
        if zipped:
            torch.save({"BACKBONE.cv_embed": Evil()}, path)
        else:
            path.write_bytes(pickle.dumps({"BACKBONE.cv_embed": Evil()}))

        with pytest.raises(ArtifactError, match=r"refused|no PyTorch file"):
            load_checkpoint(path, SIZE)
        assert not trap.exists()

    @pytest.mark.parametrize("content", ([1, 2], {"a": "text"}, {"epoch": 3}, {}))
    def test_what_is_no_state_dict_is_refused(self, content: object, tmp_path: Path) -> None:
        """ArtifactError for a file that holds something else than named tensors."""
        torch.save(content, tmp_path / "other.pth")

        with pytest.raises(ArtifactError, match="state dict"):
            load_checkpoint(tmp_path / "other.pth", SIZE)

    def test_another_model_is_refused(self, tmp_path: Path) -> None:
        """ArtifactError for tensors that are no MambaPro at all."""
        torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "linear.pth")

        with pytest.raises(ArtifactError, match="no MambaPro checkpoint"):
            load_checkpoint(tmp_path / "linear.pth", SIZE)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        """InputError when there is no such file."""
        with pytest.raises(InputError, match="No checkpoint at"):
            load_checkpoint(tmp_path / "none.pth", SIZE)


class TestOddFiles:
    @pytest.mark.parametrize(
        "header",
        (
            {"version": 1},
            {"version": 1, "config": 5},
            {"version": 1, "config": {"width": "wide"}},
            {"version": 1, "config": {"patch_size": 0}},
            {"version": 1, "config": {"warp_drive": 1}},
        ),
    )
    def test_a_damaged_header_is_told(self, header: dict, model: torch.nn.Module, tmp_path: Path) -> None:
        """ArtifactError when what a file says of itself cannot be."""
        torch.save({"mambapro": header, "state_dict": model.state_dict()}, tmp_path / "odd.pth")

        with pytest.raises(ArtifactError, match="damaged header"):
            load_checkpoint(tmp_path / "odd.pth")

    @pytest.mark.parametrize("facts", ({"config": 5}, {"config": {"model": 3}}, {"dataset": 5}, [], 5))
    def test_odd_facts_of_a_training_are_told(self, facts: object, model: MambaPro, tmp_path: Path) -> None:
        """ArtifactError at reading, not a fault of whoever looks into them later."""
        header = {"version": 1, "config": model.config.to_json(), "training": facts}
        torch.save({"mambapro": header, "state_dict": model.state_dict()}, tmp_path / "odd.pth")

        with pytest.raises(ArtifactError, match="damaged header"):
            load_checkpoint(tmp_path / "odd.pth")

    def test_a_far_number_is_a_surplus_key(self, authors: Path) -> None:
        """A stray key with a huge layer number is named at once; no model of that depth is built."""
        path = edited(authors, lambda c: c.update({"BACKBONE.base.transformer.resblocks.999999999.x": torch.zeros(1)}))

        with pytest.raises(ArtifactError, match=r"surplus: .*999999999"):
            load_checkpoint(path, SIZE)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("BACKBONE.cv_embed", torch.tensor(1.0)),
            ("BACKBONE.base.conv1.weight", torch.zeros(129, 3, 16, 16)),
            ("AAM.ma_block.0.SSM_intra.SSM_r_f.A_log", torch.zeros(0, 16)),
        ],
    )
    def test_a_misshapen_sizing_key_is_named(self, key: str, value: torch.Tensor, authors: Path) -> None:
        """A key that sizes are read from is named like any other when its shape cannot be."""
        path = edited(authors, lambda content: content.update({key: value}))

        with pytest.raises(ArtifactError, match="entries differ"):
            load_checkpoint(path, SIZE)

    def test_keys_with_and_without_prefix(self, authors: Path) -> None:
        """ArtifactError when the same tensor stands twice."""
        path = edited(authors, lambda c: c.update({"module.bottleneck.weight": c["bottleneck.weight"]}))

        with pytest.raises(ArtifactError, match="with and without"):
            load_checkpoint(path, SIZE)

    @pytest.mark.parametrize("size", (64, (64,), (64, 32, 3), "64x32", (64.0, 32), (0, 32)))
    def test_an_image_size_that_is_none(self, size: object, authors: Path) -> None:
        """InputError for anything but two positive whole numbers."""
        with pytest.raises(InputError, match="height, width"):
            load_checkpoint(authors, size)

    def test_float_counters_are_accepted(self, model: torch.nn.Module, authors: Path) -> None:
        """A state dict that was turned into float as a whole loads; the counters are whole numbers again."""
        path = edited(authors, lambda content: content.update({k: v.float() for k, v in content.items()}))

        assert equal(load_checkpoint(path, SIZE), model)

    @pytest.mark.parametrize("suffix", (".pth", ".safetensors"))
    def test_a_full_disk_while_saving(self, suffix: str, model: torch.nn.Module, tmp_path: Path) -> None:
        """SetupError when the file cannot be written whole, and the checkpoint of before survives."""
        import resource

        path = tmp_path / f"model{suffix}"
        save_checkpoint(model, path)
        before = path.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))

        try:
            with pytest.raises(SetupError, match="No room on the disk"):
                save_checkpoint(model, path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, old)

        assert path.read_bytes() == before
        assert [file.name for file in tmp_path.iterdir()] == [path.name]

    def test_what_json_cannot_hold_is_refused(self, model: torch.nn.Module, tmp_path: Path) -> None:
        """InputError when the training notes could not be read back, and no file."""
        with pytest.raises(InputError, match="plain JSON"):
            save_checkpoint(model, tmp_path / "m.pth", training={"map": torch.tensor(0.5)})

        assert list(tmp_path.iterdir()) == []
