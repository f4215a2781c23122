"""t-SNE of features, and the separation of identities in the feature space (figure 5)."""

from __future__ import annotations

import numpy as np

from ....common.figures import analysis
from ....runtime.evaluation.retrieval.metrics import normalised

#: Perplexity of t-SNE; smaller for few samples.
PERPLEXITY = 30.0


def perplexity_for(samples: int) -> float:
    """Return the perplexity: a third of the other samples, at most PERPLEXITY."""
    return min(PERPLEXITY, (samples - 1) / 3)


def tsne(features: np.ndarray, seed: int) -> np.ndarray:
    """Embed features (N, dim) in the plane by t-SNE, with the distances of retrieval.

    The initialization by principal components preserves the distance of far groups; `seed` is that of their solver. On
    one machine the same seed gives the same positions.

    Returns:
        float32 (N, 2).

    Raises:
        SetupError: scikit-learn is not installed.
    """
    with analysis():
        from sklearn.manifold import TSNE
    model = TSNE(perplexity=perplexity_for(len(features)), init="pca", random_state=seed, n_jobs=1)
    return model.fit_transform(normalised(features).astype(np.float32))


def silhouette(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean silhouette of the identities by cosine distance in the feature space: -1 mixed, 1 separated.

    Raises:
        SetupError: scikit-learn is not installed.
    """
    with analysis():
        from sklearn.metrics import silhouette_score
    return float(silhouette_score(normalised(features), labels, metric="cosine"))
