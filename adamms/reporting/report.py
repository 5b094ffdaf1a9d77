"""The report of a search, one file that a person can open or mail, and its figures."""

import base64
import io
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from adamms.addresses import short_name
from adamms.mapping.architecture import is_authors_own
from adamms.mapping.plan import titled
from adamms.mapping.table import count, kept_reasons
from adamms.prompts.images import decode_image
from adamms.reporting.advice import advice, next_steps
from adamms.reporting.every_answer import every_answer
from adamms.reporting.figures.answers import draw_answers
from adamms.reporting.figures.by_task import draw_accuracy, draw_tasks
from adamms.reporting.figures.divergence import draw_divergence
from adamms.reporting.figures.drawing import Drawing
from adamms.reporting.figures.phases import draw_phases
from adamms.reporting.palette import EQUAL
from adamms.reporting.story import Story, by_value, full_mean, versions
from adamms.reporting.tables import CHANGES, base_accuracy
from adamms.reporting.telling import letter
from adamms.reporting.templates import render
from adamms.runs.run_folder import RunFolder
from adamms.runs.values import format_value
from adamms.selecting.contest import END_POINT
from adamms.support.files import write_whole
from adamms.support.times import spell_seconds

__all__ = ["FIGURES", "Story", "write_report"]
LARGEST_PICTURE = 320
FIGURES: list[Callable[[Story], Drawing | None]] = [
    draw_divergence,
    draw_answers,
    draw_tasks,
    draw_accuracy,
    draw_phases,
]
"""Each gives None where its data is missing. One that the page has no place for comes last."""


def write_report(story: Story, run: RunFolder) -> list[Path]:
    """Writes the report and its figures into the run folder; returns the files, the report first."""
    drawings = [drawing for figure in FIGURES if (drawing := figure(story)) is not None]
    write_whole(run.report, render_report(story, drawings, run.folder))
    return [run.report, *(path for drawing in drawings for path in drawing.write(run.figures))]


def render_report(story: Story, drawings: Sequence[Drawing], folder: Path) -> str:
    """The report as HTML; whatever models answered is escaped, and a figure without a place of its own comes last."""
    plan, images = story.plan, any(prompt.images for prompt in story.prompts)
    library = not is_authors_own(plan.base.architecture, plan.base.layout)
    return render(
        "report.html.jinja",
        base=short_name(plan.base.location),
        donor=" + ".join(short_name(donor.location) for donor in plan.donors),
        donors=titled(plan.base, plan.donors, None)[1:],
        labelled="labels" in story.selection,
        story=story,
        plan=plan,
        parts=count(plan),
        kept=kept_reasons(plan),
        warnings=[*plan.warnings, *story.selection["warnings"]],
        judged=judged_rows(story),
        baselines=list(dict.fromkeys(name for one in story.judgements.values() for name in one.get("baselines", {}))),
        figures={drawing.name: {"svg": drawing.svg(), "caption": drawing.caption} for drawing in drawings},
        groups=[(why, list(group)) for why, group in groupby(story.telling, key=lambda one: one.why)],
        changes=CHANGES,
        advice=advice,
        steps=[
            step
            for task, checkpoint in story.checkpoints.items()
            for step in next_steps(checkpoint, str(folder), images, library, task)
        ],
        every=every_answer(story.responses, story.prompts, story.values),
        end_point=END_POINT,
        tints=EQUAL,
        total=spell_seconds(sum(story.seconds.values())),
        versions=versions(),
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        format_value=format_value,
        letter=letter,
        thumbnail=_thumbnail,
    )


def judged_rows(story: Story) -> list[dict[str, Any]]:
    """A row a judged task, and the means of several."""
    rows = []
    for task, one in story.judgements.items():
        accuracy = by_value(one["accuracy"])
        row: dict[str, Any] = {"task": task, "value": format_value(one["chosen"]), "best": format_value(one["oracle"])}
        row |= {"chosen": accuracy[one["chosen"]], "base": base_accuracy(accuracy, story.with_base)}
        row |= {"donor": one["donor"], "oracle": accuracy[one["oracle"]], "regret": one["regret"]}
        rows.append(row | {f"baseline {name}": value for name, value in one.get("baselines", {}).items()})
    if len(rows) > 1:
        numbers = [name for name in rows[0] if name not in ("task", "value", "best")]
        means = {name: full_mean([row.get(name) for row in rows]) for name in numbers}
        rows.append({"task": "mean", "value": "", "best": "", **means})
    return rows


def _thumbnail(encoded: bytes) -> str:
    """A data URI of a picture, made smaller where it is large."""
    picture = decode_image(encoded)
    picture.thumbnail((LARGEST_PICTURE, LARGEST_PICTURE))
    buffer = io.BytesIO()
    kind = "png" if picture.width * picture.height < 128 * 128 else "jpeg"
    picture.save(buffer, kind, quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
