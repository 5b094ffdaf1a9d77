"""The pairs of a sweep, best first."""

from collections.abc import Mapping

from adamms.reporting.figures.drawing import Drawing, new_figure, style
from adamms.reporting.palette import BLUE

NAME_WIDTH = 60


def draw_ranking(scores: Mapping[str, float], chosen: Mapping[str, str], label: str) -> Drawing:
    """A row a pair, the one of the smallest score first.

    Args:
        scores: pair -> what pairs are ranked by; nothing is better than 0.
        chosen: pair -> its choice, in words.
        label: what the scores are.
    """
    ranked = sorted(scores.items(), key=lambda pair: pair[1])
    with style():
        figure, axis = new_figure(9, 1.0 + 0.36 * len(ranked))
        drawing = Drawing("ranking", f"Pairs ranked by {label}, best first (smaller is better).", figure)
        for row, (name, score) in enumerate(ranked):
            tip = drawing.tip(f"{name}: {score:.4g} ({chosen[name]})")
            axis.plot([score], [row], marker="o", color=BLUE, markersize=8, zorder=3, gid=tip)
            axis.annotate(
                f"{score:.3g}  ({chosen[name]})", (1.01, row), xycoords=("axes fraction", "data"), va="center",
                fontsize=9, annotation_clip=False,
            )  # fmt: skip
        axis.set_title(f"Pairs by {label}")
        axis.grid(visible=True, axis="x")
        axis.set_axisbelow(True)
        axis.set_yticks(range(len(ranked)), [f"{row}. {name}"[:NAME_WIDTH] for row, (name, _) in enumerate(ranked, 1)])
        axis.invert_yaxis()
        axis.margins(x=0.05, y=0.5 / len(ranked))
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel(label)
        axis.set_xlim(left=0)
    return drawing
