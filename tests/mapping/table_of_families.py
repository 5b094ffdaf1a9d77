"""What becomes of every family of transformers. `python -m tests.mapping.table_of_families` writes docs/families.md."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import transformers

from adamms.errors import UserError
from adamms.mapping import plan_merge
from adamms.mapping.architecture import Architecture, known_architectures
from adamms.mapping.config import MappingConfig
from tests.support import families as f

FILE = Path(__file__).parents[2] / "docs" / "families.md"
INTRODUCTION = """# Families

Every family that transformers {version} maps to image-text-to-text, and every language model, with a second checkpoint
of its own: the class is built from its configuration's defaults with few layers, its tensors are called as
`save_pretrained` calls them.

- **whole**: every tensor of what the class itself calls its decoder, and of the head, merges with the one of the same
  name, row by row, and nothing else does. By a YAML file (its name), or by structure: one stack of layers beside an
  embedding.
- **refused**: with the reason that stands there. None merges in part.
- **not built**: the class cannot be made from the defaults of its configuration; nothing is known.

"""
# What a class counts to its decoder though it is an encoder of something else, or leads from one.
TOWERS = {
    "chameleon": ("model.vqmodel.",),
    "evolla": ("model.protein_encoder.", "model.sequence_"),
    "git": ("git.image_encoder.", "git.visual_projection.", "git.img_temporal_embedding"),
    "phi4_multimodal": ("model.embed_tokens_extend.",),
}


class Row(NamedTuple):
    """What became of a family: whole, in part, refused or not built; by which architecture, or why not."""

    kind: str
    result: str
    why: str


def row_of(kind: str, name: str, folder: Path) -> Row:
    """The result of one family, by its `model_type` and class."""
    try:
        family = f.skeleton(kind, name)
    except Exception as error:  # whatever a class raises that does not accept its own defaults
        return Row(kind, "not built", f"{type(error).__name__}: {_line(error)[:80]}")
    with tempfile.TemporaryDirectory(dir=folder) as place:
        checkpoint = family.write(Path(place) / "model")
        try:
            plan = plan_merge(checkpoint, checkpoint, MappingConfig(embeddings="same"))
        except UserError as error:
            return Row(kind, "refused", _reason(_line(error).replace(place, "")))
    whole = {
        t.name for t in plan.merged if [(p.start, p.stop, p.origin) for p in t.pieces] == [(0, t.rows, ((0, t.name),))]
    }
    decoder = {name for name in family.decoder if not name.startswith(TOWERS.get(kind, ("\0",)))}
    different = sorted(whole ^ decoder) + sorted({tensor.name for tensor in plan.merged} - whole)
    if different:
        return Row(kind, "in part", f"{len(different)} tensors, first {different[0]}")
    return Row(kind, "whole", plan.base.architecture)


def introduction() -> str:
    """How the page begins."""
    return INTRODUCTION.format(version=transformers.__version__)


def described() -> str:
    """The families that a file describes, also those that transformers does not know."""
    known = sorted(known_architectures().values(), key=lambda one: one.title.lower())
    lines = [f"## Described by files\n\n{len(known)} families, each one file of `adamms/mapping/architectures`.\n\n"]
    lines.append("| family | name | recognised by | names of checkpoints by |\n|---|---|---|---|\n")
    return "".join([*lines, *map(_described, known)]) + "\n"


def _described(one: Architecture) -> str:
    by = ", ".join(f"`{name}`" for name in (one.model_types or one.architectures))
    origins = ", ".join(dict.fromkeys(layout.origin for layout in one.layouts))
    return f"| {one.title} | {one.name} | {by} | {origins} |\n"


def table(groups: Mapping[str, Sequence[Row]]) -> str:
    """The page."""
    lines = [introduction(), described()]
    for title, rows in groups.items():
        counts = Counter(row.result for row in rows)
        told = ", ".join(f"{counts[result]} {result}" for result in ("whole", "refused", "not built") if counts[result])
        lines += [f"## {title}\n\n{len(rows)} families: {told}.\n\n| family | | |\n|---|---|---|\n"]
        lines += [f"| {row.kind} | {row.result} | {row.why} |\n" for row in rows] + ["\n"]
    return "".join(lines).rstrip() + "\n"


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).replace("|", "\\|")


def _reason(message: str) -> str:
    """The part of a refusal that says why."""
    found = re.search(r"cannot be guessed: (.*?); name a family", message)
    return (found[1] if found else message)[:200]


if __name__ == "__main__":
    transformers.utils.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as temporary:
        found = {title: [row_of(*one, Path(temporary)) for one in group.items()] for title, group in f.GROUPS.items()}
    FILE.write_text(table(found), encoding="utf-8")
