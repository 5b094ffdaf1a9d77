"""Figures and report of a search, written into its run folder."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamms.mapping.table import count
from adamms.reporting.figures import Drawing, spell_seconds
from adamms.reporting.palette import EQUAL
from adamms.reporting.report.drawings import draw
from adamms.reporting.report.story import Story, by_value, versions
from adamms.reporting.report.telling import TellingPrompt
from adamms.reporting.tables import CHANGES, full_mean
from adamms.reporting.templates import render
from adamms.runs.values import format_value
from adamms.searching.description import short_name
from adamms.selecting.contest import END_POINT
from adamms.support.files import write_whole

if TYPE_CHECKING:
    from adamms.mapping.plan import MergePlan
    from adamms.runs.run_folder import RunFolder

LARGEST_PICTURE = 320
LONGEST_ANSWER = 600


def write_report(story: Story, run: RunFolder) -> list[Path]:
    """Writes the report and its figures into the run folder; returns the files, the report first."""
    drawings = draw(story)
    write_whole(run.report, render_report(story, drawings))
    return [run.report, *(path for drawing in drawings for path in drawing.write(run.figures))]


def render_report(story: Story, drawings: Sequence[Drawing]) -> str:
    """The report as HTML; whatever models answered is escaped, and a figure without a place of its own comes last."""
    plan = story.plan
    return render(
        "report.html.jinja",
        base=short_name(plan.base.location),
        donor=short_name(plan.donor.location),
        story=story,
        plan=plan,
        parts=count(plan),
        kept=_kept(plan),
        share=_share(plan),
        candidates=_candidates(story),
        tasks=story.selection.get("tasks", {}),
        judged=judged_rows(story),
        baselines=list(dict.fromkeys(name for one in story.judgements.values() for name in one.get("baselines", {}))),
        facts=_facts(story),
        figures={drawing.name: {"svg": drawing.svg(), "caption": drawing.caption} for drawing in drawings},
        groups=_groups(story.telling),
        changes=CHANGES,
        values=[(value, format_value(value)) for value in story.values],
        tints=EQUAL,
        total=spell_seconds(sum(story.seconds.values())),
        phases=[(name, spell_seconds(value)) for name, value in story.seconds.items()],
        versions=versions(),
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


def _candidates(story: Story) -> list[dict[str, Any]]:
    """A row a candidate."""
    selection = story.selection
    columns = {
        "score": by_value(selection["scores"]),
        "left": by_value(selection["left"]),
        "right": by_value(selection["right"]),
        "share": by_value(selection.get("bootstrap", {})),
        "accuracy": story.accuracy,
        "tokens": dict(story.tokens),
        "why": {v: why.replace(END_POINT, "end point") for v, why in by_value(selection.get("excluded", {})).items()},
    }
    return [
        {"value": format_value(value), "chosen": value == story.chosen}
        | {name: column.get(value) for name, column in columns.items()}
        for value in sorted(columns["score"])
    ]


def judged_rows(story: Story) -> list[dict[str, Any]]:
    """A row a judged task, and the means of several."""
    rows = []
    for task, one in story.judgements.items():
        accuracy = by_value(one["accuracy"])
        parents = {"base": accuracy.get(0.0) if story.coefficient == "alpha" else None, "donor": one["donor"]}
        values = {"chosen": accuracy[one["chosen"]], **parents, "oracle": accuracy[one["oracle"]]}
        candidates = {"value": format_value(one["chosen"]), "best": format_value(one["oracle"])}
        rows.append({"task": task, **candidates, **values, "regret": one["regret"], **_baselines(one)})
    if len(rows) > 1:
        numbers = [name for name in rows[0] if name not in ("task", "value", "best")]
        means = {name: full_mean([row.get(name) for row in rows]) for name in numbers}
        rows.append({"task": "mean", "value": "", "best": "", **means})
    return rows


def _baselines(judgement: Mapping[str, Any]) -> dict[str, float]:
    return {f"baseline {name}": value for name, value in judgement.get("baselines", {}).items()}


def _facts(story: Story) -> list[tuple[str, str]]:
    """What the search cost beside time, in words."""
    found = []
    if story.tokens:
        found.append(("tokens of all answers", f"{sum(story.tokens.values())}"))
    effort = story.selection.get("effort")
    if effort:
        saved = f", {effort['saved']:.0%} saved" if effort["saved"] > 0 else ""
        found.append(("answers asked for", f"{effort['answers']} of {effort['of']}{saved}"))
    noise = story.selection.get("noise")
    if noise:
        found.append(("answers that differ when asked again", f"{noise['differing']} of {noise['asked']}"))
    names = {"peak_memory_gb": "peak memory of an engine", "peak_gpu_memory_gb": "peak memory of its fullest GPU"}
    return found + [(names.get(name, name), f"{value:.3g} GB") for name, value in story.peaks.items()]


def _kept(plan: MergePlan) -> list[tuple[int, str]]:
    """How many tensors the base keeps, by reason, the most frequent first."""
    return [(number, reason) for reason, number in Counter(t.reason for t in plan.tensors if t.reason).most_common()]


def _share(plan: MergePlan) -> float:
    """Share of the base's parameters that merge."""
    from math import prod

    total = sum(prod(tensor.shape) for tensor in plan.tensors)
    merged = sum((p.stop - p.start) * prod(t.shape[1:]) for t in plan.tensors for p in t.pieces)
    return merged / max(total, 1)


def _groups(telling: Sequence[TellingPrompt]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Prompts by why they are shown, with their pictures and each answer's colour."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in telling:
        cells = [
            {
                "text": answer[:LONGEST_ANSWER] + (" …" if len(answer) > LONGEST_ANSWER else ""),
                "kind": None if kind is None else kind % len(EQUAL),
                "letter": "" if kind is None or kind > 25 else chr(ord("A") + kind),
            }
            for answer, kind in zip(one.answered.answers, one.answered.kinds, strict=True)
        ]
        pictures = [_thumbnail(image) for image in one.prompt.images]
        row = {"id": one.prompt.id, "text": one.prompt.text, "pictures": pictures, "cells": cells}
        groups.setdefault(one.why, []).append(row)
    return list(groups.items())


def _thumbnail(encoded: bytes) -> str:
    """A data URI of a picture, made smaller where it is large."""
    from adamms.prompts.images import decode_image

    picture = decode_image(encoded)
    picture.thumbnail((LARGEST_PICTURE, LARGEST_PICTURE))
    buffer = io.BytesIO()
    small = picture.width * picture.height < 128 * 128
    picture.save(buffer, "PNG" if small else "JPEG", quality=85)
    kind = "png" if small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
