"""The parts of the paper's ablation tables: what they compute, how large they are, what of them is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mambapro.errors import InputError
from mambapro.train.engine.optimizer import build_optimizer, freeze_pretrained
from mambapro.train.models.checkpoints.names import clip_pairs
from mambapro.train.models.checkpoints.weights import load_checkpoint, save_checkpoint
from mambapro.train.models.mambapro import model_config as choices
from mambapro.train.models.mambapro.mambapro import BACKBONES, MambaPro
from mambapro.train.models.mambapro.model_config import MambaProConfig
from mambapro.train.models.mambapro.sizes import build_model
from mambapro.train.models.mambapro.spec import is_pretrained
from mambapro.train.models.parts.adapters import ADAPTERS, JOINS
from mambapro.train.models.parts.aggregation import AGGREGATIONS
from mambapro.train.models.parts.prompt import PROMPTS
from mambapro.train.reid.losses import pair_losses

SIZE = (64, 32)
VARIANTS = [
    {},
    {"backbone": "vit"},
    {"adapter_kind": "bottleneck"},
    {"adapter_kind": "lora", "lora_rank": 8},
    *({"adapter_position": position} for position in choices.ADAPTER_POSITIONS[1:]),
    *({"prompt_kind": kind} for kind in choices.PROMPT_KINDS[1:]),
    {"adapter_first_layer": 2},
    {"prompt_first_layer": 2},
    *({"aggregation_kind": kind} for kind in choices.AGGREGATION_KINDS[1:]),
]


def build(seed: int = 0, **fields: object) -> MambaPro:
    """A tiny model of two layers, every parameter moved, so that nothing is right because it is zero."""
    torch.manual_seed(seed)
    size = "tiny_imagenet" if fields.get("backbone") == "vit" else "tiny"
    small = {"image_size": SIZE, "cameras": 3, "identities": 4, "depth": 2, "aggregation_depth": 1}
    model = build_model(size, **{**small, **fields})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model.eval()


def samples(count: int = 4) -> torch.Tensor:
    """Normalised images."""
    return torch.randn(count, 3, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def values(module: torch.nn.Module) -> int:
    """How many values the parameters hold."""
    return sum(parameter.numel() for parameter in module.parameters())


def full_size(**fields: object) -> MambaPro:
    """The paper's model with one layer and one block, without memory."""
    with torch.device("meta"):
        return MambaPro(MambaProConfig(depth=1, aggregation_depth=1, **fields))


@pytest.mark.parametrize("fields", VARIANTS, ids=lambda fields: ",".join(map(str, fields.values())) or "published")
def test_a_step_trains_what_it_should(fields: dict) -> None:
    """One step: a finite loss, and a change in all parameters that run and are not the pretrained tower's."""
    model = build(**fields).train()
    freeze_pretrained(model)
    before = {name: value.clone() for name, value in model.named_parameters()}
    optimizer = build_optimizer(model.named_parameters(), model.spec.pretrained, base=1e-3)

    loss = pair_losses(model(samples(), torch.tensor([0, 1, 2, -1])), torch.tensor([0, 0, 3, 3])).total
    loss.backward()
    optimizer.step()

    changed = {name for name, value in model.named_parameters() if not torch.equal(before[name], value)}
    first = model.config.prompt_first_layer - 1
    unused = ("backbone.head.", "head.norm.bias", f"backbone.layers.{first}.prompt.residual.")
    assert torch.isfinite(loss)
    assert changed == {name for name in before if not is_pretrained(name) and not any(part in name for part in unused)}


class TestSizes:
    """Values of one layer or block of the paper's model, in millions, beside the paper's tables."""

    @pytest.mark.parametrize(
        ("kind", "count", "paper"),
        [
            ("independent", 9_216, 0.01),
            ("sp", 1_782_144, 1.78),
            ("srp_separation", 3_555_072, 3.56),
            ("srp", 2_373_120, 2.37),
        ],
    )
    def test_prompts(self, kind: str, count: int, paper: float) -> None:
        """Table 4; it has 3.55 for the separation, which is 1.78 + 1.77."""
        prompt = full_size(prompt_kind=kind).backbone.layers[0].prompt

        assert (values(prompt), round(values(prompt) / 1e6, 2)) == (count, paper)

    @pytest.mark.parametrize(
        ("fields", "count", "paper"),
        [
            ({"adapter_kind": "lora", "lora_rank": 64}, 98_304, 0.10),
            ({"adapter_kind": "lora", "lora_rank": 256}, 393_216, 0.39),
            ({"adapter_kind": "lora", "lora_rank": 384}, 589_824, 0.59),
            ({"adapter_kind": "bottleneck"}, 590_976, 0.59),
            ({"adapter_kind": "pfa"}, 2_361_600, 2.36),
        ],
    )
    def test_adapters(self, fields: dict, count: int, paper: float) -> None:
        """Table 5; it has 0.60 where the matrices it implies hold 0.59 M."""
        layer = full_size(**fields).backbone.layers[0]
        found = sum(value.numel() for name, value in layer.named_parameters() if "adapter." in name)

        assert (found, round(found / 1e6, 2)) == (count, paper)

    @pytest.mark.parametrize(
        ("kind", "paper"),
        [
            ("sum", 1.58),
            ("concat", 2.37),
            ("transformer", 4.73),
            ("intra", 5.64),
            ("inter", 5.41),
            ("mamba", 9.47),
            ("ma_transformer", 14.19),
        ],
    )
    def test_aggregations(self, kind: str, paper: float) -> None:
        """Tables 6 and 11, whose numbers are those of one block."""
        assert round(values(full_size(aggregation_kind=kind).aggregation) / 1e6, 2) == paper

    def test_imagenet(self) -> None:
        """Table 9: the feature is three tokens of the tower's width."""
        with torch.device("meta"):
            model = build_model("vit_b16_imagenet")

        assert model.config.feature_dim == 2304
        assert model.aggregation.reduction["rgb"].linear.weight.shape == (768, 1536)


class TestAdapters:
    @pytest.mark.parametrize("position", choices.ADAPTER_POSITIONS)
    def test_positions(self, position: str) -> None:
        """Table 8, each as the formula of its layer."""
        layer = build(adapter_position=position).backbone.layers[0]
        x = torch.randn(3, 9, 128)

        def attention(x: torch.Tensor) -> torch.Tensor:
            return layer.attention(layer.ln_1(x))

        def mlp(x: torch.Tensor) -> torch.Tensor:
            return layer.mlp(layer.ln_2(x))

        a, h = x + attention(x), attention(x)
        wanted = {
            "beside_ffn": lambda: a + mlp(a) + layer.adapter(a),
            "behind_ffn": lambda: a + mlp(a) + layer.adapter(mlp(a)),
            "beside_mhsa": lambda: (b := a + layer.adapter(x)) + mlp(b),
            "behind_mhsa": lambda: (b := a + layer.adapter(h)) + mlp(b),
        }[position]()

        torch.testing.assert_close(layer.transform(x), wanted)

    def test_low_rank_starts_at_the_pretrained_matrix(self) -> None:
        """A new LoRA changes nothing; trained, it is one matrix W + B A."""
        model = build_model("tiny", adapter_kind="lora", lora_rank=8)
        linear = model.backbone.layers[0].attention.out_proj
        x = torch.randn(5, 128)
        plain = torch.nn.functional.linear(x, linear.weight, linear.bias)

        torch.testing.assert_close(linear(x), plain, rtol=0, atol=0)
        torch.nn.init.normal_(linear.adapter.up.weight)
        torch.testing.assert_close(linear.merged()(x), linear(x))
        assert not torch.allclose(linear(x), plain, atol=0.1)

    def test_the_switch_leaves_the_layer_alone(self) -> None:
        """Without `adapter` every kind and place is the bare layer."""
        x = torch.randn(3, 9, 128)
        names = ("attention.", "mlp.", "ln_")
        bare = build(adapter=False).backbone.layers[0]
        state = {name: value for name, value in bare.state_dict().items() if name.startswith(names)}
        for fields in ({"adapter_kind": "bottleneck"}, {"adapter_kind": "lora"}, {"adapter_position": "behind_mhsa"}):
            layer = build(seed=1, adapter=False, **fields).backbone.layers[0]
            layer.load_state_dict(state, strict=False)

            assert torch.equal(layer.transform(x), bare.transform(x))


class TestPrompts:
    @pytest.mark.parametrize(("kind", "reached"), [("independent", [1]), ("sp", [0, 1, 2]), ("srp", [0, 1, 2])])
    def test_what_a_prompt_reaches(self, kind: str, reached: list[int]) -> None:
        """The NIR prompt of the last layer changes its own stream, and the others only where it is moved to them."""
        model, cameras = build(prompt_kind=kind), torch.zeros(2, dtype=torch.int64)
        images = samples(2).transpose(0, 1)
        with torch.no_grad():
            before = model.backbone(images, cameras)
            model.backbone.layers[-1].prompt.tokens["nir"] += 1
            after = model.backbone(images, cameras)

        assert [i for i in range(3) if not torch.equal(before[i], after[i])] == reached

    def test_what_is_handed_on(self) -> None:
        """Fusion: the mean of the groups; separation: each stream's own; SP and IP: nothing."""
        prompts = torch.randn(3 * 2, 3 * 4, 128)
        groups = prompts.view(3, 2, 3, 4, 128)
        found = {kind: build(prompt_kind=kind).backbone.layers[0].prompt.propagate(prompts) for kind in PROMPTS}

        torch.testing.assert_close(found["srp"], groups.mean(2))
        assert torch.equal(found["srp_separation"], torch.stack([groups[i, :, i] for i in range(3)]))
        assert found["sp"] is None and found["independent"] is None

    def test_separate_residuals(self) -> None:
        """With separation a residual belongs to one stream: T(0) aside, R_nir moves the NIR group alone."""
        prompt = build(prompt_kind="srp_separation").backbone.layers[1].prompt
        previous_prompts = torch.randn(3, 2, 4, 128)
        before = prompt(previous_prompts, 2)
        with torch.no_grad():
            prompt.residual["nir"].outer.bias += 1

        moved = (prompt(previous_prompts, 2) - before).view(3, 2, 3, 4, 128).detach()

        wanted = torch.zeros_like(moved)
        wanted[1, :, 1] = 1
        torch.testing.assert_close(moved, wanted)

    def test_first_layers(self) -> None:
        """Figure 9's "9-12" is first layer 9: layers before it have neither adapter nor prompts."""
        with torch.device("meta"):
            layers = MambaPro(MambaProConfig(adapter_first_layer=9, prompt_first_layer=6)).backbone.layers

        assert [i for i, layer in enumerate(layers, 1) if layer.adapter is not None] == [9, 10, 11, 12]
        assert [i for i, layer in enumerate(layers, 1) if layer.prompt is not None] == list(range(6, 13))


@pytest.mark.parametrize("fields", [fields for fields in VARIANTS if "backbone" not in fields], ids=str)
def test_clip_fits_every_variant(fields: dict) -> None:
    """The tower's tensors have the same names in every variant: they are exactly what is frozen."""
    model = build(**fields)

    assert {ours for _, ours in clip_pairs(model.config)} == {
        n for n, _ in model.named_parameters() if is_pretrained(n)
    }


class TestConfig:
    def test_every_choice_has_a_part(self) -> None:
        """The values the config allows are the names of the parts, the published one first."""
        assert tuple(BACKBONES) == choices.BACKBONES
        assert tuple(ADAPTERS) == choices.ADAPTER_KINDS
        assert tuple(JOINS) == choices.ADAPTER_POSITIONS
        assert tuple(PROMPTS) == choices.PROMPT_KINDS
        assert set(choices.AGGREGATION_KINDS) == set(AGGREGATIONS)
        assert MambaProConfig().variants == {}

    @pytest.mark.parametrize(
        ("fields", "told"),
        [
            ({"adapter_kind": "pfaa"}, "pfa, bottleneck, lora, not 'pfaa'"),
            ({"prompt_kind": 3}, "srp, srp_separation, sp, independent, not 3"),
            ({"prompt_first_layer": 13}, "there are 12 layers"),
            ({"adapter_kind": "lora", "adapter_position": "behind_ffn"}, "lora"),
            ({"backbone": "vit"}, "vit_b16_imagenet"),
            ({"aggregation_kind": "transformer", "embed_dim": 100}, "64"),
            ({"aggregation_kind": "sum", "mamba_bi": True}, "mamba, intra, inter.*sum"),
            ({"drop_path": 1.0}, "drop_path"),
        ],
        ids=str,
    )
    def test_what_does_not_fit_is_refused(self, fields: dict, told: str) -> None:
        """InputError with what is allowed, or what goes together."""
        with pytest.raises(InputError, match=told):
            MambaProConfig(**fields)

    def test_headers_without_variants_load(self) -> None:
        """A config saved before there were variants is the published model."""
        before = MambaProConfig().to_json()
        for name in (*choices.VARIANT_FIELDS, "lora_rank", "drop_path"):
            del before[name]

        assert MambaProConfig.from_json(before) == MambaProConfig()

    def test_variants_survive_our_layout(self, tmp_path: Path) -> None:
        """A checkpoint in our layout brings its parts along; the authors' layout refuses and names them."""
        model = build(prompt_kind="sp", adapter_kind="lora", aggregation_kind="concat")
        save_checkpoint(model, tmp_path / "variant.safetensors")

        loaded = load_checkpoint(tmp_path / "variant.safetensors")

        assert loaded.config == model.config
        assert torch.equal(loaded(samples(2)), model(samples(2)))
        with pytest.raises(InputError, match="adapter_kind=lora, prompt_kind=sp, aggregation_kind=concat"):
            save_checkpoint(model, tmp_path / "variant.pth", layout="authors")
