"""What the model promises beside its numbers."""

from __future__ import annotations

import pytest
import torch
from mambapro.errors import InputError
from mambapro.train.models.checkpoints.names import key_pairs
from mambapro.train.models.mambapro.model_config import MambaProConfig
from mambapro.train.models.mambapro.sizes import SIZES, build_model
from reference_model import CONFIGS, manifest

SIZE = (64, 32)


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    """A tiny model in eval mode whose camera rows differ."""
    torch.manual_seed(0)
    built = build_model("tiny", image_size=SIZE, cameras=3, identities=5).eval()
    with torch.no_grad():
        built.backbone.embedding.cameras.normal_()
    return built


@pytest.fixture
def images() -> torch.Tensor:
    """Four normalised samples."""
    return torch.randn(4, 3, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def test_a_batch_is_its_samples(model: torch.nn.Module, images: torch.Tensor) -> None:
    """Samples of a batch do not influence each other."""
    cameras = torch.tensor([0, 1, 2, -1])

    with torch.no_grad():
        together = model(images, cameras)
        apart = torch.cat([model(images[i : i + 1], cameras[i : i + 1]) for i in range(4)])

    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("unknown", (-1, -7, 3, 99))
def test_an_unknown_camera_is_the_mean_camera(unknown: int, model: torch.nn.Module) -> None:
    """Any number outside the table gets the mean row of the camera table."""
    table = model.backbone.embedding.cameras

    rows = model.backbone.embedding.camera(torch.tensor([1, unknown]))

    torch.testing.assert_close(rows, torch.stack((table[1], table.mean(0))))


def test_no_cameras_are_unknown_cameras(model: torch.nn.Module, images: torch.Tensor) -> None:
    """Leaving the cameras out equals -1 for all."""
    with torch.no_grad():
        assert torch.equal(model(images), model(images, torch.full((4,), -1)))


def test_modalities_meet_in_scan_order(model: torch.nn.Module, images: torch.Tensor) -> None:
    """The joint scan is causal: another TIR image leaves the RGB part of the feature alone, not the reverse."""
    third = model.config.embed_dim
    changed_tir, changed_rgb = images.clone(), images.clone()
    changed_tir[:, 2] += 1
    changed_rgb[:, 0] += 1

    with torch.no_grad():
        feature, after_tir, after_rgb = (model(x) for x in (images, changed_tir, changed_rgb))

    # the streams are computed alike in all three calls, so what does not depend on a change is equal to the last bit
    assert torch.equal(after_tir[:, :third], feature[:, :third])
    assert not torch.equal(after_rgb[:, 2 * third :], feature[:, 2 * third :])


def test_training_outputs_follow_the_loss(images: torch.Tensor) -> None:
    """Direct: one pair for the concatenated tokens and one fused; otherwise one for each modality and one fused."""
    labels = torch.arange(4)
    for direct, widths in ((True, [192, 192]), (False, [64, 64, 64, 192])):
        model = build_model("tiny", image_size=SIZE, cameras=3, identities=5, direct=direct).train()

        outputs = model(images, labels % 3)

        assert [tuple(o.feature.shape) for o in outputs] == [(4, width) for width in widths]
        assert {tuple(o.score.shape) for o in outputs} == {(4, 5)}


def test_images_of_another_shape_are_refused(model: torch.nn.Module) -> None:
    """ValueError with the expected and the given shape."""
    with pytest.raises(ValueError, match=r"64, 32.*\(1, 3, 3, 32, 64\)"):
        model(torch.zeros(1, 3, 3, 32, 64))


@pytest.mark.parametrize("config", CONFIGS)
def test_keys_and_shapes_are_the_authors(config: str) -> None:
    """A model built from sizes has the authors' keys, in their order, with their shapes."""
    about = manifest(config)
    shapes = {entry.key: entry.shape for entry in about.entries}
    with torch.device("meta"):
        model = build_model(
            "vit_b16",
            image_size=about.image_size,
            cameras=shapes["BACKBONE.cv_embed"][0],
            identities=shapes["classifier.weight"][0],
            mamba_bi=about.flags["MAMBA_BI"],
        )
    state = model.state_dict()

    pairs = key_pairs(model.config)

    assert [theirs for theirs, _ in pairs] == list(shapes)
    assert {theirs: tuple(state[ours].shape) for theirs, ours in pairs} == shapes
    assert sorted(ours for _, ours in pairs) == sorted(state)


def test_initial_values_are_the_authors() -> None:
    """Prompts zero, A = -1, -2, ..., D = 1, step bias 0, Linear weights of deviation 0.02."""
    torch.manual_seed(0)
    model = build_model("tiny", image_size=SIZE, cameras=3, identities=5)
    space = model.aggregation.blocks[0].inter.scans.spaces[0]

    assert all((prompt == 0).all() for prompt in model.backbone.layers[0].prompt.tokens.values())
    torch.testing.assert_close(space.decay()[3], -torch.arange(1.0, 5.0))
    assert (space.D == 1).all() and (space.dt_proj.bias == 0).all()
    assert model.backbone.layers[1].adapter.inner.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert model.fused_head.classifier.weight.std().item() == pytest.approx(0.001, rel=0.2)


class TestConfig:
    def test_json_round_trip(self) -> None:
        """A config written as JSON reads back equal."""
        config = MambaProConfig(image_size=(128, 256), mamba_bi=True, sie_coe=3.0)

        assert MambaProConfig.from_json(config.to_json()) == config

    def test_unknown_fields_are_named(self) -> None:
        """InputError names a field of a newer version."""
        with pytest.raises(InputError, match="warp_drive"):
            MambaProConfig.from_json({"warp_drive": 1})

    @pytest.mark.parametrize("fields", ({"image_size": (8, 128)}, {"width": 100}, {"cameras": 0}))
    def test_impossible_values_are_refused(self, fields: dict) -> None:
        """InputError for an image below one patch, a width no head divides, cameras that are not there."""
        with pytest.raises(InputError):
            MambaProConfig(**fields)

    def test_an_unknown_size_is_refused(self) -> None:
        """InputError lists the sizes."""
        with pytest.raises(InputError, match=", ".join(SIZES)):
            build_model("huge")


def test_training_leaves_statistics_in_every_neck(images: torch.Tensor) -> None:
    """Both kinds of head see a training batch, whichever the loss reads: the authors' checkpoints hold both."""
    for direct in (True, False):
        model = build_model("tiny", image_size=SIZE, cameras=3, identities=5, direct=direct).train()

        model(images, torch.zeros(4, dtype=torch.int64))

        counts = [head.norm.num_batches_tracked.item() for head in (model.backbone.head, model.concat_head)]
        assert counts == [3, 1]
