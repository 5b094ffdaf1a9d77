from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from adamms.prompts.prompt import Prompt
from adamms.reporting.figures.answers import draw_answers
from adamms.reporting.figures.by_task import draw_heatmap
from adamms.reporting.figures.divergence import draw_divergence
from adamms.reporting.figures.drawing import Drawing
from adamms.reporting.figures.phases import draw_phases
from adamms.reporting.figures.ranking import draw_ranking
from adamms.reporting.report import FIGURES
from adamms.reporting.story import Story
from adamms.reporting.telling import TellingPrompt
from adamms.support.times import spell_seconds
from tests.support.searches import HOSTILE, made_up_plan

SCORES = {0.0: None, 0.1: 30.0, 0.2: 12.0, 0.3: 18.0, 0.4: None}


def story(metric: str = "either", chosen: float | None = 0.2, used: int = 100, **found: Any) -> Story:
    """What a search left that scored its candidates as `SCORES` says."""
    selection = {"alpha": chosen, "metric": metric, "scores": SCORES, "prompts": {"used": used}}
    selection |= {"coefficient": "alpha", "intervals": {}, "excluded": {}} | found.pop("selection", {})
    return Story(made_up_plan(), selection, **{"responses": {}, "prompts": [], **found})


def answered(text: str, values: tuple[float, ...], answers: tuple[str, ...], coefficient: str = "alpha") -> Story:
    """A search of one prompt."""
    responses = {value: {"p": answer} for value, answer in zip(values, answers, strict=True)}
    return story(chosen=0.1, responses=responses, prompts=[Prompt("p", text)], selection={"coefficient": coefficient})


def drawn(drawing: Drawing | None) -> Drawing:
    assert drawing is not None
    return drawing


DRAWINGS = [
    draw_divergence(story()),
    draw_divergence(
        story(
            "sum",
            None,
            9,
            selection={
                "intervals": {0.1: (20, 40)},
                "excluded": {0.3: "one answer"},
                "noise": {"asked": 9, "differing": 2},
            },
            judgements={"": {"accuracy": {0.0: 1.0, 0.1: 2.0}, "donor": 1.5}},
        )
    ),
    draw_heatmap(story(), "tasks", "divergence", {"fruit": SCORES, HOSTILE: {0.1: 3.0}}, {"fruit": 0.2, HOSTILE: None}),
    drawn(draw_answers(answered(HOSTILE, (0.0, 0.1, 0.2), ("a $x^2$", "b", HOSTILE)))),
    drawn(draw_phases(story(seconds={"mapping": 1.0, "answering": 100.0}))),
    draw_ranking({"x into y": 50.0, "z": 60.0}, {"x into y": "alpha 0.3", "z": "alpha 0.1"}, "accuracy"),
]


@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda drawing: drawing.name)
def test_every_figure_in_every_form(drawing: Drawing, tmp_path: Path) -> None:
    png, page = drawing.write(tmp_path)
    width, height = Image.open(png).size
    assert width >= 1200
    assert height >= 200
    svg = drawing.svg()
    root = ElementTree.fromstring(svg)  # well-formed, whatever models have answered
    assert root.attrib["aria-label"] == drawing.caption
    assert svg.count('class="tip"') == len(drawing.tips), "every tip found its part"
    assert "<script>document" not in page.read_text()
    assert external(page.read_text()) == []


def test_colours_follow_the_page() -> None:
    svg = DRAWINGS[0].svg()
    assert "var(--c1b1b1c, #1b1b1c)" in svg
    assert not re.search(r"(fill|stroke): #1b1b1c", svg)


def test_a_figure_is_the_same_each_time() -> None:
    first, second = (draw_divergence(story()) for _ in range(2))
    assert first.svg() == second.svg()
    assert Image.open(io.BytesIO(first.png())).tobytes() == Image.open(io.BytesIO(second.png())).tobytes()


def test_equal_answers_are_of_one_kind() -> None:
    """As the metric sees them: without case and surrounding space; an answer that is alone is of none."""
    assert TellingPrompt("", Prompt("p", "?"), ("Star", "ring", " star", "heart", "ring")).kinds == [0, 1, 0, None, 1]


def test_a_candidate_that_cannot_be_chosen_is_named_in_the_legend_once() -> None:
    excluded = dict.fromkeys((0.1, 0.3), "one answer")
    svg = draw_divergence(story(selection={"excluded": excluded})).svg()
    assert svg.count("degenerate: cannot be chosen") == 1
    assert "degenerate" not in DRAWINGS[0].svg()


def test_a_candidate_that_is_behind_by_the_labels_is_not_called_degenerate() -> None:
    excluded = {0.1: "labels: 58 % right, the best 64 %", 0.3: "one answer; labels: 50 % right, the best 64 %"}
    svg = draw_divergence(story(selection={"excluded": excluded})).svg()
    assert svg.count("behind by the labels") == svg.count("degenerate: cannot be chosen") == 1


def test_only_divergences_are_drawn_from_zero() -> None:
    lowest = {metric: draw_divergence(story(metric)).figure.axes[0].get_ylim()[0] for metric in ("either", "logprob")}
    assert lowest["either"] == 0 < lowest["logprob"]


def test_figures_name_the_coefficient_that_was_searched() -> None:
    """Only alpha is the donor's weight; a search over density says density, and whose."""
    (axis,) = draw_divergence(story()).figure.axes
    assert axis.get_xlabel() == "alpha (weight of the donor)"
    density = story(
        selection={"coefficient": "density", "noise": {"asked": 100, "differing": 1}},
        judgements={"": {"accuracy": {0.2: 3.0}, "donor": None}},
        settings="merging: {method: ties}",
    )
    drawings = [
        draw_divergence(density),
        draw_heatmap(density, "tasks", "divergence", {"fruit": SCORES}, {"fruit": 0.2}),
        drawn(draw_answers(answered("?", (0.1, 0.2), ("a", "b"), "density"))),
        draw_ranking({"x": 50.0}, {"x": "density 0.3"}, "accuracy"),
    ]
    for drawing in drawings:
        assert "density" in drawing.svg()
        assert "alpha" not in drawing.svg()
    assert [drawing.figure.axes[-1].get_xlabel() for drawing in drawings[:2]] == ["density (ties)"] * 2


def test_pairs_are_ranked_best_first() -> None:
    pairs = {"worst": 3.0, "best": 1.0, "middle": 2.0}
    (axis,) = draw_ranking(pairs, dict.fromkeys(pairs, "alpha 0.1"), "score").figure.axes
    order = [label.get_text().split(". ")[1] for label in axis.get_yticklabels()]
    assert order == ["best", "middle", "worst"]


def test_a_figure_without_data_is_left_out() -> None:
    assert [drawing.name for figure in FIGURES if (drawing := figure(story()))] == ["divergence"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (12.4, "12 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_seconds_are_spelled(seconds: float, text: str) -> None:
    assert spell_seconds(seconds) == text


def external(page: str) -> list[str]:
    """Addresses that a page would ask for."""
    return [a for a in re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', page) if not a.startswith(("data:", "#"))]
