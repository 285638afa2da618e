"""How far successful attacks on texts are from what they were made of. Plain arrays and pure functions."""

from __future__ import annotations

import numpy as np

LOW_SIMILARITY = 0.8
"""Below this cosine a perturbed text is counted as another text."""


def share_of_words_changed(words: np.ndarray, perturbed_words: np.ndarray) -> np.ndarray:
    """Changed words over words of the text that could be changed, at most 1, ``(n,)``.

    Args:
        words: ``(n,)`` how many there were.
        perturbed_words: ``(n,)`` how many differ; more than there were after insertions.
    """
    shares: np.ndarray = perturbed_words / np.maximum(1, words)
    return shares.clip(max=1.0)


def cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of each row of ``first`` and the same row of ``second``, in [-1, 1].

    Args:
        first, second: ``(n, d)``, rows of length 1.
    """
    products: np.ndarray = np.einsum("nd,nd->n", first, second, dtype=np.float64)
    return products.clip(-1.0, 1.0)


def perplexity(log_likelihood: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """``exp(-log_likelihood / tokens)``, NaN for a text without tokens.

    Args:
        log_likelihood: ``(n,)`` natural logarithm of each text's likelihood, or pseudo-likelihood.
        tokens: ``(n,)`` tokens that it is of.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(tokens > 0, np.exp(-log_likelihood / tokens), np.nan)


def summarize_quality(changed: np.ndarray, similarity: np.ndarray, ratio: np.ndarray | None = None) -> dict[str, float]:
    """The metrics of an attack's successes. Without any, those of texts in which nothing was changed.

    Args:
        changed: ``(n,)`` shares of changed words.
        similarity: ``(n,)`` cosines of original and perturbed.
        ratio: ``(n,)`` perplexity of the perturbed text over that of the original; NaN is left out.

    Returns:
        ``words_changed`` and ``similarity``, means; ``low_similarity``, the share below :data:`LOW_SIMILARITY`; and
        with ratios ``perplexity_ratio``, their geometric mean: a few texts have ratios of thousands.
    """
    metrics = {
        "words_changed": float(changed.mean()) if len(changed) else 0.0,
        "similarity": float(similarity.mean()) if len(similarity) else 1.0,
        "low_similarity": float((similarity < LOW_SIMILARITY).mean()) if len(similarity) else 0.0,
    }
    if ratio is None:
        return metrics
    known = ratio[~np.isnan(ratio)]
    return {**metrics, "perplexity_ratio": float(np.exp(np.log(known).mean())) if len(known) else 1.0}
