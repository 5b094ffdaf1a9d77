"""One prompt, every candidate: answers that are equal have one colour (figure 3 of the paper)."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from adamms.reporting.figures.drawing import Drawing, new_figure, style
from adamms.reporting.labels import candidate_label
from adamms.reporting.palette import EQUAL, EQUAL_INK, GRID, VERMILION
from adamms.runs.values import format_value
from adamms.selecting.normalize import plain

CELL_WIDTH, CELL_LINES = 17, 3
QUESTION_WIDTH, QUESTION_LINES = 30, 3


@dataclass(frozen=True)
class AnsweredPrompt:
    """A prompt and what every candidate answered, in the order of their values."""

    prompt_id: str
    text: str
    answers: tuple[str, ...]

    @property
    def kinds(self) -> list[int | None]:
        """Of each answer the number of its set of equal ones, counted from the left; None for one that is alone."""
        words = [plain(answer) for answer in self.answers]
        count = Counter(words)
        number = {word: i for i, word in enumerate(dict.fromkeys(word for word in words if count[word] > 1))}
        return [number.get(word) for word in words]


def draw_answers(
    prompts: Sequence[AnsweredPrompt], values: Sequence[float], chosen: float | None, coefficient: str
) -> Drawing:
    """A row a prompt, a column a candidate; the letter says the same as the colour.

    Args:
        values, coefficient: the candidates: values of this coefficient.
        chosen: the one that is framed.
    """
    from matplotlib.patches import Rectangle

    wrapped = [[_wrap(answer, CELL_WIDTH, CELL_LINES) for answer in prompt.answers] for prompt in prompts]
    asked = [_wrap(prompt.text, QUESTION_WIDTH, QUESTION_LINES) for prompt in prompts]
    heights = [max([q.count("\n")] + [a.count("\n") for a in row]) + 1 for q, row in zip(asked, wrapped, strict=True)]
    sizes = [0.18 + 0.17 * height for height in heights]
    with style():
        figure, axis = new_figure(2.6 + 1.35 * len(values), 0.75 + sum(sizes))
        caption = f"Answers to one prompt, by {coefficient}; equal answers have one colour and letter."
        drawing = Drawing("answers", caption, figure)
        top = 0.0
        for prompt, question, row, size in zip(prompts, asked, wrapped, sizes, strict=True):
            middle = top + size / 2
            axis.text(-0.08, middle, question, ha="right", va="center", fontsize=8, parse_math=False)
            for column, (answer, kind) in enumerate(zip(row, prompt.kinds, strict=True)):
                colour = "none" if kind is None else EQUAL[kind % len(EQUAL)]
                tip = drawing.tip(f"{candidate_label(coefficient, values[column])}: {prompt.answers[column][:400]}")
                cell = Rectangle((column, top), 0.97, size - 0.04, facecolor=colour, edgecolor=GRID, lw=0.8, gid=tip)
                axis.add_patch(cell)
                ink = {} if kind is None else {"color": EQUAL_INK}
                axis.text(column + 0.485, middle, answer, ha="center", va="center", fontsize=8, parse_math=False, **ink)
                if kind is not None:
                    axis.text(column + 0.03, top + 0.03, _letter(kind), va="top", fontsize=6, **ink)
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


def _letter(kind: int) -> str:
    return chr(ord("A") + kind) if kind < 26 else ""


def _wrap(text: str, width: int, lines: int) -> str:
    flat = " ".join(text.split()) or "(empty)"
    return "\n".join(textwrap.wrap(flat, width, max_lines=lines, placeholder=" …", break_long_words=True))
