"""Which rows of the embeddings correspond: by token string, since a row's meaning is its token.

The released scripts of the paper scale both embedding matrices by 1 - alpha where the vocabularies differ;
here rows that do not correspond stay the base's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adamms.checkpoint.checkpoint import read_json
from adamms.errors import UserError

if TYPE_CHECKING:
    from adamms.checkpoint import Checkpoint

EMBEDDINGS = frozenset({"embed_tokens.weight", "lm_head.weight"})


@dataclass(frozen=True, slots=True)
class RowRun:
    """`length` rows from `start` in the base correspond to as many from `donor_start` in the donor."""

    start: int
    donor_start: int
    length: int


def embedding_rows(base: Checkpoint, donor: Checkpoint, mode: str) -> tuple[list[RowRun], str]:
    """The rows of the embeddings that merge, and a sentence that says why these.

    Args:
        mode: `auto` (merge if the vocabularies are equal, else keep), `keep`, `same` (row by row, for
            vocabularies that are equal), `align` (rows of tokens that both know).

    Raises:
        UserError: `same` for vocabularies that differ, or `align` without both tokenizers.
    """
    if mode == "keep":
        return [], "keep was asked for"
    ours, theirs = read_vocabulary(base.folder), read_vocabulary(donor.folder)
    if ours is None or theirs is None:
        missing = base if ours is None else donor
        if mode == "auto":
            return [], f"kept, since {missing.location} has no tokenizer.json to compare vocabularies by"
        raise UserError(f"{missing.folder}/tokenizer.json: not found; mapping.embeddings={mode} needs both tokenizers")
    common = sorted((row, theirs[token]) for token, row in ours.items() if token in theirs)
    if ours == theirs:
        return runs(common), f"the vocabularies are equal ({len(common)} tokens): merged row by row"
    differ = f"the vocabularies differ ({len(ours)} and {len(theirs)} tokens, {len(common)} in common)"
    if mode == "align":
        return runs(common), f"{differ}: rows of common tokens are merged"
    if mode == "same":
        raise UserError(f"{differ}, so mapping.embeddings=same does not hold; use keep or align")
    return [], f"kept, since {differ}"


def runs(pairs: list[tuple[int, int]]) -> list[RowRun]:
    """Sorted pairs of corresponding rows, joined where both go on by one."""
    found: list[RowRun] = []
    for row, donor_row in pairs:
        last = found[-1] if found else None
        if last and (row, donor_row) == (last.start + last.length, last.donor_start + last.length):
            found[-1] = RowRun(last.start, last.donor_start, last.length + 1)
        else:
            found.append(RowRun(row, donor_row, 1))
    return found


def read_vocabulary(folder: Path) -> Mapping[str, int] | None:
    """Token string -> row, added tokens included; None where the folder has no fast tokenizer."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    tokenizer = read_json(path)
    model = tokenizer.get("model", {})
    vocabulary = model.get("vocab", {})
    if isinstance(vocabulary, list):  # Unigram: [[token, score], ...]
        vocabulary = {token: row for row, (token, _) in enumerate(vocabulary)}
    added = {token["content"]: token["id"] for token in tokenizer.get("added_tokens", [])}
    return {**vocabulary, **added}
