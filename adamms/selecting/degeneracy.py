"""The guard: a candidate that has collapsed may be perfectly consistent, and must not win by it.

Answers are looked at for five faults. A candidate is degenerate when a fault has taken over (`Limits`), judged beside
the least affected candidate wherever the task itself may ask for such answers.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from adamms.runs.responses import Comparison
from adamms.selecting.normalize import normalize_answer
from adamms.selecting.repetition import is_endless

WORDS = {
    "empty": "nothing at all in answer to",
    "repeating": "an endless repetition in answer to",
    "echoing": "the prompt itself in answer to",
    "foreign": "letters of a foreign alphabet in answer to",
    "constant": "one and the same answer to",
}
"""The faults, and how they are reported."""

Counts = NDArray[np.int_]
Faults = dict[str, NDArray[np.bool_]]
"""fault -> which answers have it [A, P]"""


@dataclass(frozen=True)
class Limits:
    """When a fault has taken a candidate over."""

    majority: float = 0.5
    """More than this share of faulty answers is always too much (not for `constant`)."""
    excess: float = 0.2
    """So is this much more than in the least affected candidate, unless chance explains it."""
    constant: float = 0.9
    """One answer to at least this share of the prompts is suspicious ..."""
    constant_excess: float = 0.25
    """... when it is this much more than in the least constant candidate, and chance does not explain it."""
    chance: float = 0.005
    """The probability below which chance explains nothing; it keeps a handful of prompts from convicting anybody."""
    usual: float = 0.02
    """Faults that any model shows."""


@dataclass(frozen=True)
class Degeneracy:
    """What the guard found in one candidate's answers."""

    rates: Mapping[str, float]
    """fault -> share of prompts"""
    reasons: tuple[str, ...]
    """Why the candidate cannot be chosen; empty for a sound one."""


def inspect(
    comparison: Comparison, prompts: Mapping[str, str] | None = None, limits: Limits | None = None
) -> dict[float, Degeneracy]:
    """Look at every candidate's answers. `prompts` (prompt_id -> text) lets the guard see answers that echo them."""
    limits = limits or Limits()
    faults = find_faults(comparison, prompts)
    prompts_used = len(comparison.prompt_ids)
    counts = {fault: found.sum(axis=1) for fault, found in faults.items()}
    taken = {fault: taken_over(count, int(count.min()), prompts_used, limits) for fault, count in counts.items()}
    ill = np.any(list(taken.values()), axis=0)
    constant = most_common(comparison)
    least = int((constant if ill.all() else constant[~ill]).min())
    taken["constant"] = too_constant(constant, least, prompts_used, limits)
    rates = {fault: found.mean(axis=1) for fault, found in faults.items()} | {"constant": constant / prompts_used}
    return {
        alpha: Degeneracy(
            rates={fault: float(rates[fault][row]) for fault in WORDS},
            reasons=tuple(
                f"{words} {100 * rates[fault][row]:.0f} % of the prompts"
                for fault, words in WORDS.items()
                if taken[fault][row]
            ),
        )
        for row, alpha in enumerate(comparison.alphas)
    }


def find_faults(comparison: Comparison, prompts: Mapping[str, str] | None = None) -> Faults:
    """Which answers are empty, endlessly repeating, echoing their prompt, or in an alphabet the lowest alpha lacks.

    Where the lowest alpha writes no letters at all, nothing is foreign.
    """
    home = scripts_of(comparison.answers[0])
    texts = [(prompts or {}).get(prompt_id, "") for prompt_id in comparison.prompt_ids]
    rows = comparison.answers
    return {
        "empty": np.array([[not answer.strip() for answer in row] for row in rows]),
        "repeating": np.array([[is_endless(answer) for answer in row] for row in rows]),
        "echoing": np.array([[echoes(a, text) for a, text in zip(row, texts, strict=True)] for row in rows]),
        "foreign": np.array([[bool(home) and is_foreign(answer, home) for answer in row] for row in rows]),
    }


def echoes(answer: str, prompt: str) -> bool:
    """Whether the answer begins by repeating the whole prompt, or is the beginning of it (three words at least)."""
    if not prompt:
        return False
    said, asked = normalize_answer(answer), normalize_answer(prompt)
    return min(said.count(" "), asked.count(" ")) >= 2 and (said.startswith(asked) or asked.startswith(said))


HOME_SHARE = 0.05
"""A script is at home when it occurs in this share of the lowest alpha's answers that have letters."""
FOREIGN_SHARE = 0.2
"""An answer is foreign when this share of its letters is in scripts that are not at home."""


def scripts_of(answers: Iterable[str], to_come: int = 0) -> frozenset[str]:
    """The scripts (LATIN, CYRILLIC, CJK, ...) that answers are written in; a stray letter does not count.

    With `to_come`: those that will be among them whatever so many further answers are.
    """
    written = [scripts for answer in answers if (scripts := set(letters(answer)))]
    occurrences = Counter(script for scripts in written for script in scripts)
    needed = HOME_SHARE * (len(written) + to_come)
    return frozenset(script for script, count in occurrences.items() if count >= needed)


def is_foreign(answer: str, home: frozenset[str]) -> bool:
    """Whether an answer is partly in scripts that are not at home."""
    found = letters(answer)
    foreign = sum(count for script, count in found.items() if script not in home)
    return bool(found) and foreign >= FOREIGN_SHARE * found.total()


def letters(text: str) -> Counter[str]:
    """How many letters of each script a text has."""
    if text.isascii():
        count = sum(map(str.isalpha, text))
        return Counter({"LATIN": count}) if count else Counter()
    return Counter(_script(char) for char in unicodedata.normalize("NFKC", text) if char.isalpha())


@cache
def _script(char: str) -> str:
    return unicodedata.name(char, "UNNAMED").split(maxsplit=1)[0]


def most_common(comparison: Comparison) -> Counts:
    """How many prompts got the same answer, the candidate's most common one. [A]"""
    rows = [Counter(map(normalize_answer, answers)) for answers in comparison.answers]
    return np.array([row.most_common(1)[0][1] for row in rows])


def taken_over(counts: Counts, least: int, prompts: int, limits: Limits) -> NDArray[np.bool_]:
    """Which candidates have too many faulty answers, `least` being those of the least affected one. [A] -> [A]

    More faults or a smaller `least` never acquit; the early stop relies on it.
    """
    expected = max(least / prompts, limits.usual)
    return np.array(
        [
            count > limits.majority * prompts
            or (count - least >= limits.excess * prompts and chance(int(count), prompts, expected) <= limits.chance)
            for count in counts
        ]
    )


def too_constant(counts: Counts, least: int, prompts: int, limits: Limits) -> NDArray[np.bool_]:
    """Which candidates answer almost every prompt alike, where one that is sound otherwise does not. [A] -> [A]

    Monotone like `taken_over`.
    """
    return np.array(
        [
            count >= limits.constant * prompts
            and count - least >= limits.constant_excess * prompts
            and chance(int(count), prompts, least / prompts) <= limits.chance
            for count in counts
        ]
    )


def chance(at_least: int, trials: int, rate: float) -> float:
    """The probability of so many successes or more, each of the given rate (0 < rate < 1): the binomial tail."""
    if at_least <= 0:
        return 1.0
    yes, no = math.log(rate), math.log1p(-rate)
    whole = math.lgamma(trials + 1)
    return sum(
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * yes + (trials - k) * no)
        for k in range(at_least, trials + 1)
    )
