"""Where the time went."""

from adamms.reporting.figures.drawing import Drawing, new_figure, style
from adamms.reporting.palette import BLUE
from adamms.reporting.story import Story
from adamms.support.times import spell_seconds


def draw_phases(story: Story) -> Drawing | None:
    """A bar a phase, in the order in which they happen."""
    seconds, total = story.seconds, sum(story.seconds.values())
    if not seconds:
        return None
    with style():
        figure, axis = new_figure(8, 0.8 + 0.38 * len(seconds))
        drawing = Drawing("phases", f"Time by phase, {spell_seconds(total)} in all.", figure)
        for row, (phase, value) in enumerate(seconds.items()):
            text = f"{spell_seconds(value)} ({value / total if total else 0:.0%})"
            axis.barh([row], [value], color=BLUE, height=0.62)[0].set_gid(drawing.tip(f"{phase}: {text}"))
            axis.annotate(text, (value, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9)
        axis.set_title(f"Time by phase ({spell_seconds(total)})")
        axis.set_yticks(range(len(seconds)), list(seconds))
        axis.invert_yaxis()
        axis.set_xlim(0, max(seconds.values()) * 1.22 or 1)
        axis.set_xticks([])
        axis.spines["bottom"].set_visible(False)
        axis.tick_params(length=0)
    return drawing
