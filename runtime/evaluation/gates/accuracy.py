"""Accuracy gate: loss of a file against another of the same model in the metric of its task, on the same samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ....common.progress import Track, silent
from ....errors import AccuracyError, InputError
from ...bundle.artifact import AccuracyGate
from ...data.modalities import SUBSETS
from ...data.sample import Benchmark
from ...extractor import Extractor
from ...session import Session
from ..feature_cache import FeatureCache, extractor_identity
from ..reference_features import Model, features_of
from ..retrieval.evaluate import feature_function
from .task_metrics import Metric, metric_of


def accuracy_gate(
    reference: Session,
    found: Session,
    benchmark: Benchmark,
    limit: float,
    track: Track = silent,
    cache: FeatureCache | None = None,
) -> AccuracyGate:
    """Evaluate both on the test part of a benchmark, with the paired bootstrap interval of the drop.

    The reference's features are cached in `cache`, None = the user's; those of the judged artifact never are.

    Raises:
        InputError: an empty query or gallery, missing labels, an unreadable image.
        ArtifactError: features that are not finite.
    """
    metric = metric_of(reference.metadata)
    test = metric.test_set(benchmark, reference.metadata)
    models = (session_model(reference, kept=True), session_model(found))
    first, second = (test.report(one[SUBSETS[0]]) for one in features_of(models, test, track, cache))
    return accuracy_of(first, second, benchmark, limit, metric)


def require_extractor(session: Session) -> Extractor:
    """Return the session as an extractor.

    Raises:
        InputError: its model returns no embeddings.
    """
    if isinstance(session, Extractor):
        return session
    outputs = ", ".join(tensor.name for tensor in session.metadata.outputs)
    raise InputError(
        f"mAP is measured on embeddings; {session.metadata.name} returns {outputs}. Leave out the labelled images "
        "(--data, --dataset)."
    )


def session_model(session: Session, kept: bool = False) -> Model:
    """Return an opened bundle to evaluate; with `kept` its embeddings are a reference, and cached."""
    name, settings = session.artifact.stem, (session.preprocessing, session.batch_size)
    if isinstance(session, Extractor):
        return Model(name, feature_function(session), *settings, extractor_identity(session) if kept else None)
    output = session.metadata.output.name
    return Model(name, lambda batch: session.run(batch)[output], *settings)


def accuracy_of(first: Any, second: Any, benchmark: Benchmark, limit: float, metric: Metric) -> AccuracyGate:
    """Return the gate from the reports of the reference and of the judged artifact, on the same benchmark."""
    differences = {item.name: item for item in metric.differences(first, second)}
    gates = [
        AccuracyGate(
            dataset=benchmark.name,
            queries=first.queries,
            gallery=len(benchmark.gallery),
            reference=metric.values(first)[name],
            found=metric.values(second)[name],
            drop=-differences[name].difference,
            low=-differences[name].high,
            high=-differences[name].low,
            limit=limit,
            metric=name,
        )
        for name in metric.gated
    ]
    return replace(gates[0], others=tuple(gates[1:]))


def require_accuracy(gate: AccuracyGate, what: str) -> None:
    """Raise AccuracyError if a drop exceeds the limit."""
    for one in (gate, *gate.others):
        # written so that NaN fails as well
        if not one.drop <= one.limit:
            raise AccuracyError(
                f"{what} loses {100 * one.drop:.2f} points of {one.metric} on {one.dataset}: {100 * one.found:.2f} % "
                f"instead of {100 * one.reference:.2f} % (95 % interval of the drop {100 * one.low:.2f} to "
                f"{100 * one.high:.2f}, {one.queries} {'queries' if one.gallery else 'images'}); "
                f"{100 * one.limit:.2f} are allowed. Keep its most sensitive layers in float (mambapro sensitivity "
                "writes the policy), use a higher precision, or allow more with --max-map-drop."
            )
