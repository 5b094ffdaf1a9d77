"""The prompts that tell a reader most about a choice: for it, against it, and one where nothing happens."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from adamms.prompts.prompt import Prompt
from adamms.runs.responses import Responses
from adamms.support.normalize import plain

STABLE = "settled: around the chosen candidate the answer stays, elsewhere it changes"
UNSTABLE = "unsettled: the chosen candidate answers otherwise than a neighbour"
SAME = "the same everywhere"
CHANGING = "changing"
HOW_MANY = {STABLE: 4, UNSTABLE: 3, CHANGING: 4, SAME: 1}


@dataclass(frozen=True)
class TellingPrompt:
    """A prompt worth showing, why, and what every candidate answered, in the order of their values."""

    why: str
    prompt: Prompt
    answers: tuple[str, ...]

    @property
    def kinds(self) -> list[int | None]:
        """Of each answer the number of its set of equal ones, counted from the left; None for one that is alone."""
        words = [plain(answer) for answer in self.answers]
        count = Counter(words)
        number = {word: i for i, word in enumerate(dict.fromkeys(word for word in words if count[word] > 1))}
        return [number.get(word) for word in words]


def telling_prompts(responses: Responses, prompts: Sequence[Prompt], chosen: float | None) -> list[TellingPrompt]:
    """At most eight or so, grouped by why they are shown; the most varied first within a group."""
    values = sorted(responses)
    found: dict[str, list[TellingPrompt]] = {why: [] for why in HOW_MANY}
    for prompt in prompts:
        if values and all(prompt.id in responses[value] for value in values):
            answers = tuple(responses[value][prompt.id] for value in values)
            why = _why([plain(answer) for answer in answers], None if chosen is None else values.index(chosen))
            found[why].append(TellingPrompt(why, prompt, answers))
    for group in found.values():
        group.sort(key=lambda one: (-len(set(map(plain, one.answers))), one.prompt.id))
    return [one for why, group in found.items() for one in group[: HOW_MANY[why]]]


def letter(kind: int | None) -> str:
    """Says the same as the colour of a set of equal answers; there are 26."""
    return chr(ord("A") + kind) if kind is not None and kind < 26 else ""


def _why(words: list[str], chosen: int | None) -> str:
    if len(set(words)) == 1:
        return SAME
    if chosen is None:
        return CHANGING
    near = words[max(0, chosen - 1) : chosen + 2]
    return STABLE if len(set(near)) == 1 else UNSTABLE
