"""Where the time went."""

from __future__ import annotations

from collections.abc import Mapping

from adamms.reporting.figures.drawing import Drawing, new_figure, style
from adamms.reporting.palette import BLUE


def draw_phases(seconds: Mapping[str, float]) -> Drawing:
    """A bar a phase, in the order in which they happen."""
    total = sum(seconds.values())
    with style():
        figure, axis = new_figure(8, 0.8 + 0.38 * max(1, len(seconds)))
        drawing = Drawing("phases", f"Time by phase, {spell_seconds(total)} in all.", figure)
        for row, (phase, value) in enumerate(seconds.items()):
            share = value / total if total else 0.0
            text = f"{spell_seconds(value)} ({share:.0%})"
            axis.barh([row], [value], color=BLUE, height=0.62)[0].set_gid(drawing.tip(f"{phase}: {text}"))
            axis.annotate(text, (value, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9)
        axis.set_title(f"Time by phase ({spell_seconds(total)})")
        axis.set_yticks(range(len(seconds)), list(seconds))
        axis.invert_yaxis()
        axis.set_xlim(0, max(seconds.values(), default=1) * 1.22 or 1)
        axis.set_xticks([])
        axis.spines["bottom"].set_visible(False)
        axis.tick_params(length=0)
    return drawing


def spell_seconds(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
