"""Unlabelled prompts: what every candidate is asked. Labels, where a file has them, are never read."""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL.Image import Image

from adamms.errors import UserError, first_line
from adamms.prompts.config import PromptsConfig
from adamms.prompts.images import decode_image, describe, read_image
from adamms.prompts.sources import NO_TEXT, Row, Source, read_source
from adamms.support.files import is_text

MAX_REPORTED = 10

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Given:
    """An answer that is there already. `ended`: its end was generated too, not cut off at some length."""

    text: str
    ended: bool


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question to every candidate: text and encoded images, in the order they are shown.

    Attributes:
        system: the system message; empty for none.
        given: the answer that is only to be scored (how probable is each of its tokens?); None: a new one is asked for.
    """

    id: str
    text: str
    images: tuple[bytes, ...] = ()
    system: str = ""
    given: Given | None = None

    @property
    def digest(self) -> str:
        """Identifies what is asked, whatever its id."""
        hasher = hashlib.sha256(self.text.encode())
        for image in self.images:
            hasher.update(hashlib.sha256(image).digest())
        if self.system:
            hasher.update(b"system" + hashlib.sha256(self.system.encode()).digest())
        if self.given is not None:
            hasher.update(b"given" + hashlib.sha256(self.given.text.encode("utf-8", "surrogatepass")).digest())
            hasher.update(b"ended" if self.given.ended else b"cut off")
        return hasher.hexdigest()[:32]

    def in_words(self) -> Prompt:
        """The same without its pictures, for a model that reads text only."""
        return replace(self, images=())

    def pictures(self) -> list[Image]:
        """The images, decoded."""
        return [decode_image(image) for image in self.images]


def load_prompts(config: PromptsConfig) -> list[Prompt]:
    """A seeded draw of `config.n` prompts, in their source's order.

    The draw depends on the ids and the seed only, and a larger `n` draws all that a smaller one does. With
    `on_error=skip`, broken prompts are left out and others drawn in their place.

    Raises:
        UserError: no source, no prompts, or bad rows or images, all of them reported together.
    """
    if config.n < 1:
        raise UserError(f"prompts.n={config.n}: expected at least 1")
    for name in ("suffix", "system", "question"):
        if not is_text(getattr(config, name)):
            raise UserError(f"prompts.{name}: {NO_TEXT}; write it anew")
    source = read_source(config)
    rows = _distinct(source)
    report_problems(config.path, source.problems, config.on_error)
    if not rows:
        raise UserError(f"{config.path}: holds no prompts")
    problems: list[str] = []
    drawn: list[tuple[int, Prompt]] = []
    rows.sort(key=lambda row: row.id)
    random.Random(config.seed).shuffle(rows)
    for tried, row in enumerate(rows):
        if len(drawn) >= config.n or (config.on_error == "fail" and tried >= config.n):
            break
        prompt = _prompt(row, source, config, problems)
        if prompt is not None:
            drawn.append((row.number, prompt))
    report_problems(config.path, problems, config.on_error)
    if not drawn:
        raise UserError(f"{config.path}: every prompt has a broken image, such as {problems[0]}")
    return [prompt for _, prompt in sorted(drawn, key=lambda pair: pair[0])]


def report_problems(place: str, problems: Sequence[str], on_error: str) -> None:
    """All problems of one check in one line: as an error, or where they are to be skipped as a warning."""
    if not problems:
        return
    more = f" (and {len(problems) - MAX_REPORTED} more)" if len(problems) > MAX_REPORTED else ""
    found = f"{place}: {'; '.join(problems[:MAX_REPORTED])}{more}"
    if on_error == "fail":
        raise UserError(
            f"{found}; mend these, or leave them out with prompts.on_error=skip (of adamms evaluate: labelled.on_error)"
        )
    log.warning("left out: %s", found)


def _distinct(source: Source) -> list[Row]:
    seen: dict[str, Row] = {}
    for row in source.rows:
        first = seen.setdefault(row.id, row)
        if first is not row:
            source.problems.append(f"{row.where}: id {row.id!r} is that of {first.where} too")
    return list(seen.values())


def _prompt(row: Row, source: Source, config: PromptsConfig, problems: list[str]) -> Prompt | None:
    images, image = [], None
    try:
        for image in row.images():
            images.append(read_image(image, source.folder))
    except Exception as error:  # files and data sets raise whatever their readers raise
        reason = getattr(error, "strerror", None) or first_line(error)
        problems.append(f"{row.where}: image {describe(image)}: {reason}")
        return None
    return Prompt(row.id, row.text + config.suffix, tuple(images), config.system)
