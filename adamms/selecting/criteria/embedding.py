"""The paper's embedding variant: 1 - cosine of sentence embeddings, summed over both neighbours."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from adamms.errors import UserError
from adamms.selecting.criteria.criterion import Floats, Metric

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"

Encoder = Callable[[list[str]], Floats]
"""Texts [N] -> their vectors [N, D], of any length other than zero."""


@lru_cache(maxsize=4)
def embedding_metric(model: str = DEFAULT_MODEL) -> Metric:
    """The metric for one sentence-transformers model (a Hub id or a folder), loaded when first used."""
    name = "embedding" if model == DEFAULT_MODEL else f"embedding:{model}"
    return metric_from_encoder(name, lambda texts: _load(model)(texts))


def metric_from_encoder(name: str, encode: Encoder) -> Metric:
    """The metric for any encoder; every different text is encoded once."""
    known: dict[str, Floats] = {}

    def vectors(texts: Sequence[str]) -> Floats:
        new = sorted({text for text in texts if text not in known})
        if new:
            found = np.asarray(encode(new), dtype=np.float64)
            known.update(zip(new, found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12), strict=True))
        return np.stack([known[text] for text in texts])

    def difference(left: Sequence[str], right: Sequence[str]) -> Floats:
        a, b = [text.strip() for text in left], [text.strip() for text in right]
        apart: Floats = 1 - np.sum(vectors(a) * vectors(b), axis=1)
        apart[[one == other for one, other in zip(a, b, strict=True)]] = 0.0
        return np.asarray(apart.clip(0.0, 2.0))

    return Metric(name, difference, combine="sum", counts=False)


@lru_cache(maxsize=4)
def _load(model: str) -> Encoder:
    """An encoder on the processor; sentence-transformers is imported only here.

    Raises:
        UserError: sentence-transformers is not installed, or the model cannot be had.
    """
    try:
        library = importlib.import_module("sentence_transformers")
    except ImportError as error:
        raise UserError(
            "the embedding metric needs sentence-transformers: install it with `pip install sentence-transformers`, "
            "or choose another metric"
        ) from error
    try:
        encoder = library.SentenceTransformer(model, device="cpu")
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"sentence-embedding model {model} cannot be loaded ({reason}); give a folder or a Hub id"
        ) from error
    return lambda texts: np.asarray(encoder.encode(texts, show_progress_bar=False), dtype=np.float64)
