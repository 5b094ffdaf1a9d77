"""The paper's embedding variant: 1 - the cosine of two answers' sentence embeddings, summed over both neighbours."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from adamms.errors import UserError
from adamms.selecting.criteria.criterion import Criterion, Floats, register

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"

Encoder = Callable[[list[str]], Floats]
"""Texts [N] -> their embeddings [N, D], not normalised."""


@lru_cache(maxsize=4)
def embedding(model: str) -> Criterion:
    """The criterion of one sentence-transformers model (a Hub id or a folder), which is loaded when first used."""
    return criterion_of(f"embedding:{model}", lambda texts: _load(model)(texts))


def criterion_of(name: str, encode: Encoder) -> Criterion:
    """The criterion of any encoder; each distinct text is encoded once."""
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

    return Criterion(name, difference, combine="sum", words="how far the answers' meanings moved")


@lru_cache(maxsize=4)
def _load(model: str) -> Encoder:
    """A sentence-transformers model on the CPU; the library is imported only here.

    Raises:
        UserError: sentence-transformers is not installed, or the model cannot be loaded.
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


register(replace(criterion_of("embedding", lambda texts: _load(DEFAULT_MODEL)(texts)), with_argument=embedding))
