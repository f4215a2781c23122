"""t-SNE of features, and how well identities separate in the space it shows (figure 5)."""

from __future__ import annotations

import numpy as np

from ....common.figures import analysis
from ....runtime.evaluation.retrieval.metrics import normalised

#: Neighbours that t-SNE balances; fewer where there are few samples.
PERPLEXITY = 30.0


def perplexity_for(samples: int) -> float:
    """A third of the other samples, at most PERPLEXITY."""
    return min(PERPLEXITY, (samples - 1) / 3)


def tsne(features: np.ndarray, seed: int) -> np.ndarray:
    """Features (N, dim) -> places in the plane, float32 (N, 2), by the distances that retrieval ranks with.

    It starts from the principal components, which keeps groups that are far apart so; `seed` goes to their solver. On
    one machine the same seed gives the same places.

    Raises:
        SetupError: scikit-learn is not installed.
    """
    with analysis():
        from sklearn.manifold import TSNE
    model = TSNE(perplexity=perplexity_for(len(features)), init="pca", random_state=seed, n_jobs=1)
    return model.fit_transform(normalised(features).astype(np.float32))


def silhouette(features: np.ndarray, labels: np.ndarray) -> float:
    """Mean silhouette of the identities by cosine distance, in the features' own space: -1 mixed, 1 apart.

    Raises:
        SetupError: scikit-learn is not installed.
    """
    with analysis():
        from sklearn.metrics import silhouette_score
    return float(silhouette_score(normalised(features), labels, metric="cosine"))
