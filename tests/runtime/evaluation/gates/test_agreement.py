"""Agreement of outputs: probabilities beside logits."""

from __future__ import annotations

import numpy as np
import pytest
from mambapro.errors import ParityError
from mambapro.export.pytorch.parity import require_probabilities
from mambapro.runtime.bundle.labels import Labels
from mambapro.runtime.bundle.tensors import LOGITS, PROBABILITIES, TensorInfo
from mambapro.runtime.evaluation.gates.agreement import probability_error
from mambapro.train.models.model_spec import ModelSpec

OUTPUTS = tuple(TensorInfo(role, role, "float32", ("batch", 2), "") for role in (LOGITS, PROBABILITIES))
LOGIT_VALUES = np.array([[0.0, 800.0], [np.log(3), -800.0]])


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [
        (None, [[0.5, 1.0], [0.75, 0.0]]),
        (Labels(("a", "b"), "softmax"), [[0.0, 1.0], [1.0, 0.0]]),
    ],
)
def test_probabilities_of_the_logits(labels: Labels | None, probabilities: list[list[float]]) -> None:
    """The activation of the logits is expected, of large ones too; the largest difference is returned."""
    values = {LOGITS: LOGIT_VALUES, PROBABILITIES: np.array(probabilities)}

    assert probability_error(OUTPUTS, labels, values) < 1e-12

    values[PROBABILITIES][1, 0] -= 0.25
    assert probability_error(OUTPUTS, labels, values) == pytest.approx(0.25)
    assert probability_error(OUTPUTS[:1], labels, values) == 0


def test_export_with_other_probabilities() -> None:
    """An exported model whose probabilities are not those of its logits is refused."""
    spec = ModelSpec("attributes", (), OUTPUTS)
    values = {LOGITS: np.zeros((1, 2)), PROBABILITIES: np.full((1, 2), 0.51)}

    require_probabilities(spec, values, 0.02)
    with pytest.raises(ParityError, match=r"largest \|difference\| is 1.0e-02, the limit 1e-04"):
        require_probabilities(spec, values, 1e-4)
