"""Gate on retrieval accuracy: loss of mAP against another artifact of the same model, on the same queries."""

from __future__ import annotations

from ....common.progress import Track, silent
from ....errors import AccuracyError, InputError
from ...bundle.artifact import AccuracyGate
from ...data.modalities import SUBSETS
from ...data.sample import Benchmark
from ...extractor import Extractor
from ...session import Session
from ..bootstrap import paired_differences
from ..feature_cache import FeatureCache, extractor_identity
from ..reference_features import Model, features_of
from ..retrieval.evaluate import feature_function, retrieval_of
from ..retrieval.metrics import RetrievalReport


def accuracy_gate(
    reference: Session,
    found: Session,
    benchmark: Benchmark,
    limit: float,
    track: Track = silent,
    cache: FeatureCache | None = None,
) -> AccuracyGate:
    """Measure mAP of both on query and gallery of a benchmark, and the paired bootstrap interval of the drop.

    The reference's features are cached in `cache`, None = the user's; those of the judged artifact never are.

    Raises:
        InputError: no embeddings, an empty query or gallery, an unreadable image.
        ArtifactError: features that are not finite.
    """
    retrieval = retrieval_of(benchmark)
    models = (extractor_model(reference, kept=True), extractor_model(found))
    first, second = (retrieval.report(one[SUBSETS[0]]) for one in features_of(models, retrieval, track, cache))
    return accuracy_of(first, second, benchmark, limit)


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


def extractor_model(session: Session, kept: bool = False) -> Model:
    """Return an opened bundle to evaluate; with `kept` its features are a reference, and cached.

    Raises:
        InputError: its model returns no embeddings.
    """
    extractor = require_extractor(session)
    identity = extractor_identity(extractor) if kept else None
    name, function = extractor.artifact.stem, feature_function(extractor)
    return Model(name, function, extractor.preprocessing, extractor.batch_size, identity)


def accuracy_of(first: RetrievalReport, second: RetrievalReport, benchmark: Benchmark, limit: float) -> AccuracyGate:
    """Return the gate from the evaluations of the reference and of the judged artifact, on the same benchmark."""
    difference = next(item for item in paired_differences(first, second) if item.name == "mAP")
    return AccuracyGate(
        dataset=benchmark.name,
        queries=first.queries,
        gallery=len(benchmark.gallery),
        reference=first.map,
        found=second.map,
        drop=-difference.difference,
        low=-difference.high,
        high=-difference.low,
        limit=limit,
    )


def require_accuracy(gate: AccuracyGate, what: str) -> None:
    """Raise AccuracyError if the drop exceeds the limit."""
    # written so that NaN fails as well
    if not gate.drop <= gate.limit:
        raise AccuracyError(
            f"{what} loses {100 * gate.drop:.2f} points of mAP on {gate.dataset}: {100 * gate.found:.2f} % instead of "
            f"{100 * gate.reference:.2f} % (95 % interval of the drop {100 * gate.low:.2f} to {100 * gate.high:.2f}, "
            f"{gate.queries} queries); {100 * gate.limit:.2f} are allowed. Keep its most sensitive layers in float "
            "(mambapro sensitivity writes the policy), use a higher precision, or allow more with --max-map-drop."
        )
