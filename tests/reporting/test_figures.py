from __future__ import annotations

import io
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from adamms.reporting.figures import (
    AnsweredPrompt,
    Curve,
    Drawing,
    RankedPair,
    draw_answers,
    draw_divergence,
    draw_heatmap,
    draw_phases,
    draw_ranking,
    spell_seconds,
)
from tests.support.searches import HOSTILE

SCORES = {0.0: None, 0.1: 30.0, 0.2: 12.0, 0.3: 18.0, 0.4: None}
DRAWINGS = [
    draw_divergence(Curve("either", SCORES, 0.2, 100)),
    draw_divergence(
        Curve(
            "sum", SCORES, None, 9, {0.1: (20, 40)}, {0.3: "one answer"}, 2.0, {0.0: 1.0, 0.1: 2.0}, donor_accuracy=1.5
        )
    ),
    draw_heatmap({"fruit": SCORES, HOSTILE: {0.1: 3.0}}, {"fruit": 0.2, HOSTILE: None}, "divergence", "alpha"),
    draw_answers([AnsweredPrompt("p", HOSTILE, ("a $x^2$", "b", HOSTILE))], (0.0, 0.1, 0.2), 0.1, "alpha"),
    draw_phases({"mapping": 1.0, "answering": 100.0}),
    draw_phases({}),
    draw_ranking(
        [RankedPair("x into y", 0.3, 50.0, 40.0), RankedPair("z", None, 60.0)], "accuracy", larger_is_better=True
    ),
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
    first, second = (draw_divergence(Curve("either", SCORES, 0.2, 100)) for _ in range(2))
    assert first.svg() == second.svg()
    assert Image.open(io.BytesIO(first.png())).tobytes() == Image.open(io.BytesIO(second.png())).tobytes()


def test_equal_answers_are_of_one_kind() -> None:
    """As the metric sees them: without case and surrounding space; an answer that is alone is of none."""
    assert AnsweredPrompt("p", "?", ("Star", "ring", " star", "heart", "ring")).kinds == [0, 1, 0, None, 1]


def test_a_candidate_that_cannot_be_chosen_is_named_in_the_legend_once() -> None:
    excluded = dict.fromkeys((0.1, 0.3), "one answer")
    svg = draw_divergence(Curve("either", SCORES, 0.2, 100, excluded=excluded)).svg()
    assert svg.count("degenerate: cannot be chosen") == 1
    assert "degenerate" not in DRAWINGS[0].svg()


def test_figures_name_the_coefficient_that_was_searched() -> None:
    """Only alpha is the donor's weight; a search over density says density, and whose."""
    (axis,) = draw_divergence(Curve("either", SCORES, 0.2, 100)).figure.axes
    assert axis.get_xlabel() == "alpha (weight of the donor)"
    drawings = [
        draw_divergence(
            Curve("either", SCORES, 0.2, 100, noise_floor=1, accuracy={0.2: 3.0}, coefficient="density", method="ties")
        ),
        draw_heatmap({"fruit": SCORES}, {"fruit": 0.2}, "divergence", "density", "ties"),
        draw_answers([AnsweredPrompt("p", "?", ("a", "b"))], (0.1, 0.2), 0.1, "density"),
        draw_ranking([RankedPair("x", 0.3, 50.0, coefficient="density")], "accuracy", larger_is_better=True),
    ]
    for drawing in drawings:
        assert "density" in drawing.svg()
        assert "alpha" not in drawing.svg()
    assert [drawing.figure.axes[-1].get_xlabel() for drawing in drawings[:2]] == ["density (ties)"] * 2


def test_pairs_are_ranked_best_first() -> None:
    pairs = [RankedPair("worst", 0.1, 1.0), RankedPair("best", 0.1, 3.0), RankedPair("middle", 0.1, 2.0)]
    for larger, order in ((True, ["best", "middle", "worst"]), (False, ["worst", "middle", "best"])):
        (axis,) = draw_ranking(pairs, "score", larger_is_better=larger).figure.axes
        assert [label.get_text().split(". ")[1] for label in axis.get_yticklabels()] == order


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (12.4, "12 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_seconds_are_spelled(seconds: float, text: str) -> None:
    assert spell_seconds(seconds) == text


def external(page: str) -> list[str]:
    """Addresses that a page would ask for."""
    return [a for a in re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', page) if not a.startswith(("data:", "#"))]
