"""The prompts that tell a reader most about a choice: for it, against it, and one where nothing happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adamms.reporting.figures import AnsweredPrompt
from adamms.runs.responses import Responses
from adamms.selecting.normalize import plain

if TYPE_CHECKING:
    from adamms.prompts.prompt import Prompt

STABLE = "settled: around the chosen candidate the answer stays, elsewhere it changes"
UNSTABLE = "unsettled: the chosen candidate answers otherwise than a neighbour"
SAME = "the same everywhere"
CHANGING = "changing"
HOW_MANY = {STABLE: 4, UNSTABLE: 3, CHANGING: 4, SAME: 1}


@dataclass(frozen=True)
class TellingPrompt:
    """A prompt worth showing, and why."""

    why: str
    prompt: Prompt
    answered: AnsweredPrompt


def telling_prompts(responses: Responses, prompts: Sequence[Prompt], chosen: float | None) -> list[TellingPrompt]:
    """At most eight or so, grouped by why they are shown; the most varied first within a group."""
    values = sorted(responses)
    found: dict[str, list[TellingPrompt]] = {why: [] for why in HOW_MANY}
    for prompt in prompts:
        if not all(prompt.id in responses[value] for value in values):
            continue
        answers = tuple(responses[value][prompt.id] for value in values)
        why = _why([plain(answer) for answer in answers], None if chosen is None else values.index(chosen))
        found[why].append(TellingPrompt(why, prompt, AnsweredPrompt(prompt.id, prompt.text, answers)))
    for group in found.values():
        group.sort(key=lambda telling: (-len(set(map(plain, telling.answered.answers))), telling.prompt.id))
    return [telling for why, group in found.items() for telling in group[: HOW_MANY[why]]]


def _why(words: list[str], chosen: int | None) -> str:
    if len(set(words)) == 1:
        return SAME
    if chosen is None:
        return CHANGING
    near = words[max(0, chosen - 1) : chosen + 2]
    return STABLE if len(set(near)) == 1 else UNSTABLE
