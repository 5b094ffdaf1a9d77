"""Unlabelled prompts: what every candidate is asked. Labels, where a file has them, are never read."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamms.errors import UserError
from adamms.generation.images import decode_image, read_image_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

    from adamms.config import PromptsConfig

MAX_REPORTED = 10


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question to every candidate: text and encoded images, in the order they are shown.

    Attributes:
        system: the system message; empty for none.
    """

    id: str
    text: str
    images: tuple[bytes, ...] = ()
    system: str = ""

    @property
    def digest(self) -> str:
        """Identifies what is asked, whatever its id."""
        hasher = hashlib.sha256(self.text.encode())
        for image in self.images:
            hasher.update(hashlib.sha256(image).digest())
        if self.system:
            hasher.update(b"system" + hashlib.sha256(self.system.encode()).digest())
        return hasher.hexdigest()[:32]

    def pictures(self) -> list[Image]:
        """The images, decoded."""
        return [decode_image(image) for image in self.images]


def load_prompts(config: PromptsConfig) -> list[Prompt]:
    """A seeded draw of `config.n` prompts from a JSONL file, in the file's order.

    Every line is an object with `prompt`, and perhaps `id` (else its line number) and `images` (paths relative to
    the file, data URIs or URLs). The draw depends on the ids and the seed only, and a larger `n` draws all that a
    smaller one does.

    Raises:
        UserError: no file, no prompts, or bad lines or images, all of them reported together.
    """
    if not config.path:
        raise UserError(
            "prompts.path: not given; expected a JSONL file with `prompt` and perhaps `images` on every line"
        )
    path = Path(config.path).expanduser()
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected JSONL with `prompt` and perhaps `images` on every line")
    if config.n < 1:
        raise UserError(f"prompts.n={config.n}: expected at least 1")
    problems: list[str] = []
    lines = list(_lines(path, problems))
    _report(path, problems)
    if not lines:
        raise UserError(f"{path}: holds no prompts")
    prompts = [_prompt(path, row, config.suffix, problems) for row in _draw(lines, config.n, config.seed)]
    _report(path, problems)
    return [prompt for prompt in prompts if prompt is not None]


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    id: str
    text: str
    images: tuple[str, ...]


def _lines(path: Path, problems: list[str]) -> Iterator[_Line]:
    seen: dict[str, int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = _parse(number, json.loads(line))
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            continue
        if row.id in seen:
            problems.append(f"line {number}: id {row.id!r} stands on line {seen[row.id]} too")
        seen[row.id] = number
        yield row


def _parse(number: int, data: Any) -> _Line:
    if not isinstance(data, dict) or not isinstance(data.get("prompt"), str) or not data["prompt"].strip():
        raise ValueError("expected an object with a non-empty string `prompt`")
    images = data.get("images", [])
    images = [images] if isinstance(images, str) else images
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        raise ValueError("`images` is not a list of paths, data URIs or URLs")
    return _Line(number, str(data.get("id", number)), data["prompt"], tuple(images))


def _draw(lines: Sequence[_Line], n: int, seed: int) -> list[_Line]:
    order = sorted(lines, key=lambda line: line.id)
    random.Random(seed).shuffle(order)
    return sorted(order[:n], key=lambda line: line.number)


def _prompt(path: Path, line: _Line, suffix: str, problems: list[str]) -> Prompt | None:
    images = []
    for reference in line.images:
        located = reference if ":" in reference else str(path.parent / reference)
        try:
            encoded = read_image_bytes(located)
            decode_image(encoded)
        except (OSError, ValueError) as error:
            problems.append(f"line {line.number}: image {reference[:80]!r}: {error}")
            return None
        images.append(encoded)
    return Prompt(line.id, line.text + suffix, tuple(images))


def _report(path: Path, problems: Sequence[str]) -> None:
    if problems:
        more = f" (and {len(problems) - MAX_REPORTED} more)" if len(problems) > MAX_REPORTED else ""
        raise UserError(f"{path}: {'; '.join(problems[:MAX_REPORTED])}{more}; mend these lines")
