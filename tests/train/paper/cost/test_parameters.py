"""Values by part, against the counts of the authors' model."""

from __future__ import annotations

import pytest
from mambapro.errors import InputError
from mambapro.train.models.mambapro.sizes import config_of_size
from mambapro.train.paper.cost.parameters import all_values, empty_model, part_of, trained_values


def test_published_model() -> None:
    """The parts have the numbers of values that the authors' model has, every one of them in some part."""
    model = empty_model(config_of_size("vit_b16"))

    values = all_values(model)

    assert {part: values[part] for part in ("backbone", "adapter", "prompt", "aggregation", "camera")} == {
        "backbone": 86_140_416,
        "adapter": 28_339_200,
        "prompt": 28_477_440,
        "aggregation": 17_358_336,
        "camera": 3_072,
    }
    assert sum(values.values()) == sum(parameter.numel() for parameter in model.parameters())


def test_frozen() -> None:
    """A frozen backbone has nothing that is trained; heads count without BNNeck's frozen bias and where a loss is."""
    trained = trained_values(empty_model(config_of_size("vit_b16")))

    assert trained["backbone"] == 0
    # concatenated and fused: gain and classifier of 1536 for 171 identities
    assert trained["heads"] == 2 * 1536 * (1 + 171)
    each = trained_values(empty_model(config_of_size("vit_b16", direct=False)))
    assert each["heads"] == (512 + 1536) * (1 + 171)


def test_switched_off() -> None:
    """A part that the config switches off is there but not trained."""
    model = empty_model(config_of_size("tiny", prompt=False, mamba=False, sie_camera=False))

    trained = trained_values(model, frozen=False)

    assert all_values(model)["prompt"] > 0
    assert (trained["prompt"], trained["aggregation"], trained["camera"]) == (0, 0, 0)
    assert trained["backbone"] == all_values(model)["backbone"]


def test_unknown_name() -> None:
    """A name that belongs to no part raises InputError."""
    with pytest.raises(InputError, match="no parameter"):
        part_of("something.weight")
