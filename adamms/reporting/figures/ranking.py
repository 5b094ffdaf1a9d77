"""The pairs of a sweep, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adamms.reporting.figures.drawing import Drawing, new_figure, style
from adamms.reporting.labels import candidate_label
from adamms.reporting.palette import BLUE, GREEN, GRID

NAME_WIDTH = 60


@dataclass(frozen=True)
class RankedPair:
    """One search of a sweep.

    Attributes:
        chosen: the chosen value of the coefficient; None where nothing was chosen.
        score: what pairs are ranked by.
        base_score: the same of the base alone, where it is known.
        coefficient: what was searched.
    """

    name: str
    chosen: float | None
    score: float
    base_score: float | None = None
    coefficient: str = "alpha"


def draw_ranking(pairs: Sequence[RankedPair], label: str, *, larger_is_better: bool) -> Drawing:
    """A row a pair: what it reached, and from where."""
    ranked = sorted(pairs, key=lambda pair: pair.score, reverse=larger_is_better)
    with style():
        figure, axis = new_figure(9, 1.0 + 0.36 * max(1, len(ranked)))
        better = "larger" if larger_is_better else "smaller"
        drawing = Drawing("ranking", f"Pairs ranked by {label}, best first ({better} is better).", figure)
        for row, pair in enumerate(ranked):
            if pair.base_score is not None:
                axis.plot([pair.base_score, pair.score], [row, row], color=GRID, linewidth=3, zorder=1)
                axis.plot([pair.base_score], [row], marker="|", markersize=11, color=GREEN, zorder=2, linestyle="")
            axis.plot([pair.score], [row], marker="o", color=BLUE, markersize=8, zorder=3, gid=drawing.tip(_tip(pair)))
            axis.annotate(
                f"{pair.score:.3g}  ({_chosen(pair)})", (1.01, row), xycoords=("axes fraction", "data"), va="center",
                fontsize=9, annotation_clip=False,
            )  # fmt: skip
        has_base = any(pair.base_score is not None for pair in ranked)
        axis.set_title(f"Pairs by {label}" + (" (green bar: the base alone)" if has_base else ""))
        axis.grid(visible=True, axis="x")
        axis.set_axisbelow(True)
        axis.set_yticks(range(len(ranked)), [f"{row + 1}. {pair.name}"[:NAME_WIDTH] for row, pair in enumerate(ranked)])
        axis.invert_yaxis()
        axis.margins(x=0.05, y=0.5 / max(1, len(ranked)))
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel(label)
        if not larger_is_better and min((pair.score for pair in ranked), default=0) >= 0:
            axis.set_xlim(left=0)  # nothing can be better than 0
    return drawing


def _tip(pair: RankedPair) -> str:
    gain = "" if pair.base_score is None else f"\n{pair.score - pair.base_score:+.3g} against the base alone"
    return f"{pair.name}: {pair.score:.4g} ({_chosen(pair)}){gain}"


def _chosen(pair: RankedPair) -> str:
    return "nothing chosen" if pair.chosen is None else candidate_label(pair.coefficient, pair.chosen)
