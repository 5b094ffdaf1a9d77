"""Task by alpha, in one picture: where each task's plateau lies."""

from __future__ import annotations

from collections.abc import Mapping

from adamms.reporting.figures.drawing import Drawing, new_figure, style
from adamms.reporting.palette import VERMILION
from adamms.runs.values import format_value

NAME_WIDTH = 40


def draw_heatmap(
    values: Mapping[str, Mapping[float, float | None]],
    chosen: Mapping[str, float | None],
    label: str,
    name: str = "tasks",
) -> Drawing:
    """A row a task, a column an alpha, the chosen one framed.

    Args:
        values: task -> alpha -> value; None where there is none.
        label: what the values are.
    """
    from matplotlib import colormaps
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    alphas = sorted({alpha for row in values.values() for alpha in row})
    known = [value for row in values.values() for value in row.values() if value is not None]
    digits = 2 if max(known, default=0) < 10 else 1
    scale = Normalize(min(known, default=0), max(known, default=1))
    colours = colormaps["cividis"]
    with style():
        figure, axis = new_figure(2.5 + 0.85 * len(alphas), 1.1 + 0.42 * len(values))
        drawing = Drawing(name, f"{label}, task by alpha; the chosen alpha of each task is framed.", figure)
        for row, (task, by_alpha) in enumerate(values.items()):
            for column, alpha in enumerate(alphas):
                value = by_alpha.get(alpha)
                if value is None:
                    axis.text(column, row, "–", ha="center", va="center")
                    continue
                tip = drawing.tip(f"{task}, alpha {format_value(alpha)}: {label} {value:g}")
                axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=colours(scale(value)), lw=0, gid=tip))
                ink = "#ffffff" if scale(value) < 0.5 else "#000000"
                axis.text(column, row, f"{value:.{digits}f}", ha="center", va="center", color=ink, fontsize=9)
            if (best := chosen.get(task)) is not None:
                place = (alphas.index(best) - 0.46, row - 0.46)
                axis.add_patch(Rectangle(place, 0.92, 0.92, fill=False, edgecolor=VERMILION, lw=2.5))
        axis.set_title(label)
        axis.set_xlim(-0.5, len(alphas) - 0.5)
        axis.set_ylim(len(values) - 0.5, -0.5)
        axis.set_xticks(range(len(alphas)), [format_value(alpha) for alpha in alphas])
        axis.set_yticks(range(len(values)), [task[:NAME_WIDTH] for task in values])
        axis.set_xlabel("alpha")
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    return drawing
