"""Options of an evaluation by the task of the model."""

from __future__ import annotations

import pytest
from mambapro.errors import InputError
from mambapro.runtime.evaluation.attributes.attribute_evaluation import AttributeOptions
from mambapro.runtime.evaluation.evaluators import evaluation_options
from mambapro.runtime.evaluation.retrieval.analysis import EvaluationOptions
from mambapro.runtime.evaluation.retrieval.reranking import Reranking


def test_options_of_the_task() -> None:
    """What both tasks know is passed on, and what was not given is the task's default."""
    assert evaluation_options("re-identification", {"seed": 3, "subsets": True}) == EvaluationOptions(
        seed=3, subsets=True
    )
    assert evaluation_options("attributes", {"seed": 3, "skip_bad": True}) == AttributeOptions(seed=3, skip_bad=True)


@pytest.mark.parametrize(
    ("task", "values", "words"),
    [
        ("attributes", {"reranking": Reranking()}, "--rerank is for re-identification; this is for attributes"),
        ("attributes", {"per_modality": True}, "--per-modality is for re-identification"),
        ("re-identification", {"tune_thresholds": True}, "--tune-thresholds is for attributes; this is for re-"),
    ],
)
def test_options_of_another_task(task: str, values: dict[str, object], words: str) -> None:
    """InputError names the option and both tasks."""
    with pytest.raises(InputError, match=words):
        evaluation_options(task, values)
