"""What int8 costs: departures, and mAP with every sample as a query of all others."""

from __future__ import annotations

import math

import numpy as np
import pytest
from mambapro.calib.sensitivity.loss import Judge
from mambapro.errors import ArtifactError, InputError

ANGLES = (0.0, 0.1, 1.5, 1.7)


def rows(angles: tuple[float, ...]) -> np.ndarray:
    return np.array([[math.cos(angle), math.sin(angle)] for angle in angles], np.float32)


def test_departures() -> None:
    """Mean, median, largest and standard error of 1 - cosine, by hand."""
    judge = Judge(rows(ANGLES), (1, 1, 2, 2), (0, 1, 0, 1), "camera")
    turned = (0.0, 0.1, 1.5, 1.7 + 0.2)

    loss = judge.loss(3 * rows(turned), "it")

    expected = 1 - math.cos(0.2)
    assert loss.largest == pytest.approx(expected, rel=1e-5)
    assert loss.mean == pytest.approx(expected / 4, rel=1e-5)
    assert loss.median == pytest.approx(0, abs=1e-9)
    assert loss.error == pytest.approx(np.std([0, 0, 0, expected]) / 2, rel=1e-5)


def test_map_of_the_calibration_identities() -> None:
    """A sample that moves beside another identity costs the mAP that its queries lose."""
    judge = Judge(rows(ANGLES), (1, 1, 2, 2), (0, 1, 0, 1), "camera")

    # the second of identity 1 goes between the two of identity 2
    loss = judge.loss(rows((0.0, 1.6, 1.5, 1.7)), "it")

    # first: others before its match (rank 2); second: its match comes last (rank 3); third and fourth: rank 2
    assert (judge.map, judge.junk, judge.queries) == (1.0, "camera", 4)
    assert loss.map_drop == pytest.approx(1 - (1 / 2 + 1 / 3 + 1 / 2 + 1 / 2) / 4)


def test_the_same_camera_does_not_count() -> None:
    """Samples of one identity and one camera are no matches of each other, where another camera has one."""
    judge = Judge(rows((0.0, 0.01, 0.1, 0.2)), (1, 1, 1, 2), (0, 0, 1, 0), "camera")

    assert judge.queries == 3


def test_one_camera_only() -> None:
    """Where no identity was seen under two cameras, a sample is only no match of itself."""
    judge = Judge(rows(ANGLES), (1, 1, 2, 2), (0, 0, 0, 0), "camera")

    assert (judge.junk, judge.queries, judge.map) == ("itself", 4, 1.0)


@pytest.mark.parametrize("identities", [(1, 2, 3, 4), (-1, -1, -1, -1)], ids=["different", "unknown"])
def test_no_identity_twice(identities: tuple[int, ...]) -> None:
    """Without two images of one identity there is no mAP; unknown identities are not one identity."""
    judge = Judge(rows(ANGLES), identities, (0, 1, 2, 3), None)

    assert judge.map is None
    assert judge.loss(rows(ANGLES), "it").map_drop is None


def test_not_finite() -> None:
    """NaN is an error that names the layer, never a rank."""
    judge = Judge(rows(ANGLES), (1, 1, 2, 2), (0, 1, 0, 1), "camera")
    broken = rows(ANGLES)
    broken[2] = np.nan

    with pytest.raises(ArtifactError, match=r"1 of 4 embeddings .* with layer x in int8"):
        judge.loss(broken, "layer x in int8")
    with pytest.raises(ArtifactError, match="the float model"):
        Judge(broken, (1, 1, 2, 2), (0, 1, 0, 1), "camera")


def test_an_unknown_rule() -> None:
    """Only the benchmarks' two rules are known."""
    with pytest.raises(InputError, match="camera or scene"):
        Judge(rows(ANGLES), (1, 1, 2, 2), (0, 1, 0, 1), "weather")
