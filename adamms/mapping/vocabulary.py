"""Which rows of the embeddings correspond: by token string, since a row's meaning is its token.

The released scripts of the paper scale both embedding matrices by 1 - alpha where the vocabularies differ;
here rows that do not correspond stay the base's.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from adamms.checkpoint import Checkpoint
from adamms.checkpoint.json_file import read_json
from adamms.errors import UserError, first_line

Vocabulary = Mapping[str, int]
TOKENIZERS = "tokenizer.json, vocab.json or tokenizer.model"


@dataclass(frozen=True, slots=True)
class RowRun:
    """`length` rows from `start` on correspond to rows of the donor, and of the ancestor if there is one."""

    start: int
    donor_start: int
    length: int
    ancestor_start: int = 0


@dataclass(frozen=True)
class VocabularyMatch:
    """Which rows of the embeddings merge, and the reason as a sentence.

    Attributes:
        pairs: base row -> donor row; None if each row corresponds to the row of the same number.
        ancestor: base row -> ancestor row; None likewise.
    """

    merges: bool
    reason: str
    pairs: Mapping[int, int] | None = None
    ancestor: Mapping[int, int] | None = None

    def runs(self, rows: int, donor_rows: int, ancestor_rows: int | None = None) -> list[RowRun]:
        """The corresponding rows of matrices with so many rows, joined into runs that are consecutive in all of them.

        Rows that a matrix does not have are left out: matrices may be padded, or shorter than the tokenizer.
        """
        if not self.merges:
            return []
        if self.pairs is None and (self.ancestor is None or ancestor_rows is None):
            length = min(rows, donor_rows, rows if ancestor_rows is None else ancestor_rows)
            return [RowRun(0, 0, length)] if length else []
        pairs = ((row, row) for row in range(min(rows, donor_rows))) if self.pairs is None else self.pairs.items()
        return list(_joined(self._triples(pairs, rows, donor_rows, ancestor_rows)))

    def _triples(
        self, pairs: Iterable[tuple[int, int]], rows: int, donor_rows: int, ancestor_rows: int | None
    ) -> Iterator[tuple[int, int, int]]:
        for row, donor_row in sorted(pairs):
            if not (0 <= row < rows and 0 <= donor_row < donor_rows):
                continue
            origin = row if self.ancestor is None else self.ancestor.get(row, -1)
            if ancestor_rows is None:
                yield row, donor_row, row  # consecutive wherever the base is, so that it never ends a run
            elif 0 <= origin < ancestor_rows:
                yield row, donor_row, origin


def match_vocabularies(
    base: Checkpoint, donor: Checkpoint, mode: str, ancestor: Checkpoint | None = None
) -> VocabularyMatch:
    """Which rows of the base's embeddings merge with which of the donor's.

    Args:
        mode: `auto` (merge if the vocabularies are equal, else keep), `keep`, `same` (row by row), `align` (rows of
            tokens that both know).

    Raises:
        UserError: `same` for vocabularies that contradict it, `align` without both tokenizers, or a broken tokenizer.
    """
    if mode == "keep":
        return VocabularyMatch(False, "kept, as mapping.embeddings=keep asks")
    ours, theirs = read_vocabulary(base.folder), read_vocabulary(donor.folder)
    found = _match(base, ours, donor, theirs, mode)
    if ancestor is None or not found.merges:
        return found
    origin = read_vocabulary(ancestor.folder)
    if ours is None or origin is None:
        missing = base if ours is None else ancestor
        assumed = f"the ancestor's rows are taken to be the base's, since {missing.location} has no tokenizer"
        return replace(found, reason=f"{found.reason}; {assumed}")
    return found if ours == origin else replace(found, ancestor=_same_tokens(ours, origin))


def _match(
    base: Checkpoint, ours: Vocabulary | None, donor: Checkpoint, theirs: Vocabulary | None, mode: str
) -> VocabularyMatch:
    if ours is None or theirs is None:
        missing = base if ours is None else donor
        if mode == "same":
            reason = f"merged row by row, as mapping.embeddings=same asks ({missing.location} has no tokenizer)"
            return VocabularyMatch(True, reason)
        if mode == "align":
            raise UserError(f"{missing.folder}: no {TOKENIZERS}; mapping.embeddings=align needs both tokenizers")
        reason = f"kept, since {missing.location} has no {TOKENIZERS} to compare vocabularies by"
        return VocabularyMatch(False, f"{reason}; mapping.embeddings=same merges row by row")
    if ours == theirs:
        return VocabularyMatch(True, f"the vocabularies are equal ({len(ours)} tokens): merged row by row")
    return _match_unequal(ours, theirs, mode)


def _match_unequal(ours: Vocabulary, theirs: Vocabulary, mode: str) -> VocabularyMatch:
    common = {token: (row, theirs[token]) for token, row in ours.items() if token in theirs}
    differ = f"the vocabularies differ ({len(ours)} and {len(theirs)} tokens, {len(common)} in common)"
    if mode == "align":
        return VocabularyMatch(True, f"{differ}: rows of common tokens are merged", _one_each(common.values()))
    if mode == "same":
        moved = [(token, rows) for token, rows in common.items() if rows[0] != rows[1]]
        if moved:
            token, (row, donor_row) = moved[0]
            raise UserError(
                f"{differ}, and {len(moved)} of these have other rows, first {token!r} ({row} and {donor_row}), so "
                "mapping.embeddings=same would mix them; use align or keep"
            )
        rows = _one_each(common.values())
        return VocabularyMatch(True, f"{differ}, each in the same row: merged row by row", rows)
    return VocabularyMatch(False, f"kept, since {differ}; mapping.embeddings=align merges those")


def _same_tokens(ours: Vocabulary, origin: Vocabulary) -> Mapping[int, int]:
    """Base row -> ancestor row, by token."""
    return _one_each((row, origin[token]) for token, row in ours.items() if token in origin)


def _one_each(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Corresponding rows by base row; of several (a tokenizer may give two tokens one row) the first."""
    return dict(reversed(list(pairs)))


def _joined(triples: Iterable[tuple[int, int, int]]) -> Iterator[RowRun]:
    """Rows that are consecutive in all matrices: those whose numbers minus their own position stay the same."""
    for _, group in groupby(enumerate(triples), lambda one: [row - one[0] for row in one[1]]):
        (_, (start, donor_start, ancestor_start)), *rest = group
        yield RowRun(start, donor_start, 1 + len(rest), ancestor_start)


def read_vocabulary(folder: Path) -> Vocabulary | None:
    """Token string -> row, added tokens included; None where the folder has no tokenizer that can be read.

    Raises:
        UserError: a tokenizer file is broken.
    """
    if (folder / "tokenizer.json").is_file():
        return _fast_tokenizer(folder / "tokenizer.json")
    if (folder / "vocab.json").is_file():
        vocabulary = _rows(read_json(folder / "vocab.json"), folder / "vocab.json")
    elif (folder / "tokenizer.model").is_file():
        vocabulary = _sentencepiece(folder / "tokenizer.model")
    else:
        return None
    return {**vocabulary, **_added_tokens(folder)}


def _fast_tokenizer(path: Path) -> Vocabulary:
    tokenizer = read_json(path)
    try:
        vocabulary = tokenizer["model"]["vocab"]
        if isinstance(vocabulary, list):  # Unigram: [[token, score], ...]
            vocabulary = {entry[0]: row for row, entry in enumerate(vocabulary)}
        added = {token["content"]: token["id"] for token in tokenizer.get("added_tokens") or []}
        return _rows({**vocabulary, **added}, path)
    except (KeyError, TypeError, IndexError):
        raise UserError(f"{path}: not a tokenizer with a vocabulary; mend it, or set mapping.embeddings=keep") from None


def _added_tokens(folder: Path) -> Vocabulary:
    """What a slow tokenizer adds to its vocabulary: in a file of its own, or in its configuration."""
    added: dict[str, int] = {}
    if (folder / "tokenizer_config.json").is_file():
        decoder = read_json(folder / "tokenizer_config.json").get("added_tokens_decoder")
        if isinstance(decoder, dict):
            rows = [key for key in decoder if key.isascii() and key.isdecimal() and len(key) < 10]
            entries = [(key, decoder[key]) for key in rows if isinstance(decoder[key], dict)]
            added = {entry["content"]: int(key) for key, entry in entries if isinstance(entry.get("content"), str)}
    path = folder / "added_tokens.json"
    return {**added, **_rows(read_json(path), path)} if path.is_file() else added


def _rows(vocabulary: Mapping[Any, Any], path: Path) -> Vocabulary:
    wrong = next((token for token, row in vocabulary.items() if type(row) is not int or type(token) is not str), None)
    if wrong is not None:
        raise UserError(f"{path}: token {wrong!r} has no row number; mend it, or set mapping.embeddings=keep")
    return vocabulary


def _sentencepiece(path: Path) -> Vocabulary:
    from sentencepiece import SentencePieceProcessor

    try:
        processor = SentencePieceProcessor(model_file=str(path))
    except Exception as error:  # the library raises RuntimeError or OSError
        raise UserError(
            f"{path}: not a sentencepiece model ({first_line(error)}); set mapping.embeddings=keep"
        ) from None
    return {processor.id_to_piece(row): row for row in range(processor.get_piece_size())}
