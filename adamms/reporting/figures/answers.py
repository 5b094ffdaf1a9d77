"""One prompt, every candidate: answers that are equal have one colour (figure 3 of the paper)."""

import textwrap

from adamms.reporting.figures.drawing import Drawing, new_figure, style
from adamms.reporting.labels import candidate_label
from adamms.reporting.palette import EQUAL, EQUAL_INK, GRID, VERMILION
from adamms.reporting.story import Story
from adamms.reporting.telling import letter
from adamms.runs.values import format_value

CELL_WIDTH, QUESTION_WIDTH, LINES = 17, 30, 3


def draw_answers(story: Story) -> Drawing | None:
    """A row a telling prompt, a column a candidate, the chosen one framed; the letter says the same as the colour."""
    from matplotlib.patches import Rectangle

    if not story.telling:
        return None
    values, chosen, coefficient = story.values, story.chosen, story.coefficient
    wrapped = [[_wrap(answer, CELL_WIDTH) for answer in one.answers] for one in story.telling]
    asked = [_wrap(one.prompt.text, QUESTION_WIDTH) for one in story.telling]
    heights = [max(text.count("\n") for text in (q, *row)) + 1 for q, row in zip(asked, wrapped, strict=True)]
    sizes = [0.18 + 0.17 * height for height in heights]
    with style():
        figure, axis = new_figure(2.6 + 1.35 * len(values), 0.75 + sum(sizes))
        caption = f"Answers to one prompt, by {coefficient}; equal answers have one colour and letter."
        drawing = Drawing("answers", caption, figure)
        top = 0.0
        for one, question, row, size in zip(story.telling, asked, wrapped, sizes, strict=True):
            middle = top + size / 2
            axis.text(-0.08, middle, question, ha="right", va="center", fontsize=8, parse_math=False)
            for column, (answer, kind) in enumerate(zip(row, one.kinds, strict=True)):
                colour = "none" if kind is None else EQUAL[kind % len(EQUAL)]
                tip = drawing.tip(f"{candidate_label(coefficient, values[column])}: {one.answers[column][:400]}")
                cell = Rectangle((column, top), 0.97, size - 0.04, facecolor=colour, edgecolor=GRID, lw=0.8, gid=tip)
                axis.add_patch(cell)
                ink = {} if kind is None else {"color": EQUAL_INK}
                axis.text(column + 0.485, middle, answer, ha="center", va="center", fontsize=8, parse_math=False, **ink)
                axis.text(column + 0.03, top + 0.03, letter(kind), va="top", fontsize=6, **ink)
            top += size
        if chosen in values:
            place = (values.index(chosen) - 0.015, -0.02)
            axis.add_patch(Rectangle(place, 1.0, top, fill=False, edgecolor=VERMILION, lw=2.2, clip_on=False))
        axis.set_xlim(0, len(values))
        axis.set_ylim(top, 0)
        heads = [f"{format_value(value)}{' (chosen)' if value == chosen else ''}" for value in values]
        axis.set_xticks([column + 0.485 for column in range(len(values))], heads)
        axis.xaxis.tick_top()
        axis.set_yticks([])
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        axis.set_title(f"Answers by {coefficient}")
    return drawing


def _wrap(text: str, width: int) -> str:
    flat = " ".join(text.split()) or "(empty)"
    return "\n".join(textwrap.wrap(flat, width, max_lines=LINES, placeholder=" …"))
