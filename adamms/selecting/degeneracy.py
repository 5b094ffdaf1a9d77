"""The guard against collapsed candidates: where neighbours answer nothing, or always the same, no answer changes
between them, so by divergence alone they would win.

Every answer is checked for faults. A candidate is degenerate, and cannot be chosen, when too many of its answers have
one fault: more than half of them, or clearly more than in the candidate with the fewest, since the task itself may ask
for short, repeating or foreign answers. `Limits` has the numbers.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from adamms.selecting.answer_table import AnswerTable
from adamms.selecting.repetition import is_endless
from adamms.support.normalize import normalize_answer

FAULTS = {
    "empty": "nothing at all in answer to",
    "repeating": "an endless repetition in answer to",
    "echoing": "the prompt itself in answer to",
    "foreign": "letters of a foreign alphabet in answer to",
    "constant": "one and the same answer to",
}
"""The faults, and the words they are reported in."""

Counts = NDArray[np.int_]


@dataclass(frozen=True)
class Limits:
    """How many faulty answers make a candidate degenerate."""

    majority: float = 0.5
    """More than this share of the answers always does (not for `constant`)."""
    excess: float = 0.2
    """So does this much more than in the candidate with the fewest, unless chance explains it."""
    constant: float = 0.9
    """For `constant`: the same answer to at least this share of the prompts ..."""
    constant_excess: float = 0.25
    """... which is this much more than in the least constant candidate, unless chance explains it."""
    chance: float = 0.005
    """Chance explains what is at least this probable; without it, a handful of prompts would exclude candidates."""
    usual: float = 0.02
    """The share of faulty answers that any model may have."""


@dataclass(frozen=True)
class Degeneracy:
    """What the guard found in one candidate's answers."""

    rates: Mapping[str, float]
    """Fault -> share of the prompts whose answer has it."""
    reasons: tuple[str, ...]
    """Why the candidate cannot be chosen; empty where it can."""


def degeneracy_of(
    table: AnswerTable, prompts: Mapping[str, str] | None = None, limits: Limits | None = None
) -> dict[float, Degeneracy]:
    """Check every candidate's answers.

    Args:
        prompts: prompt id -> text; without it, answers that repeat their prompt are not seen.
    """
    limits = limits or Limits()
    faults = faulty_answers(table, prompts)
    asked = len(table.prompt_ids)
    counts = {fault: found.sum(axis=1) for fault, found in faults.items()}
    degenerate = {fault: has_too_many(count, asked, limits) for fault, count in counts.items()}
    otherwise_sound = ~np.any(list(degenerate.values()), axis=0)
    commonest = [Counter(map(normalize_answer, answers)).most_common(1)[0][1] for answers in table.answers]
    counts["constant"] = np.array(commonest)
    sound = counts["constant"][otherwise_sound] if otherwise_sound.any() else counts["constant"]
    degenerate["constant"] = is_too_constant(counts["constant"], int(sound.min()), asked, limits)
    rates = {fault: count / asked for fault, count in counts.items()}
    return {
        value: Degeneracy(
            rates={fault: float(rates[fault][row]) for fault in FAULTS},
            reasons=tuple(
                f"{words} {100 * rates[fault][row]:.0f} % of the prompts"
                for fault, words in FAULTS.items()
                if degenerate[fault][row]
            ),
        )
        for row, value in enumerate(table.values)
    }


def faulty_answers(table: AnswerTable, prompts: Mapping[str, str] | None = None) -> dict[str, NDArray[np.bool_]]:
    """Fault -> which answers have it [C, P], for all faults that a single answer can have.

    An answer is foreign when it is in an alphabet that the lowest candidate, the nearest to the base, does not use; if
    that one writes no letters at all, no answer is foreign.
    """
    usual = usual_scripts(table.answers[0])
    texts = [(prompts or {}).get(prompt_id, "") for prompt_id in table.prompt_ids]
    rows = table.answers
    return {
        "empty": np.array([[not answer.strip() for answer in row] for row in rows]),
        "repeating": np.array([[is_endless(answer) for answer in row] for row in rows]),
        "echoing": np.array([[echoes(answer, text) for answer, text in zip(row, texts, strict=True)] for row in rows]),
        "foreign": np.array([[bool(usual) and is_foreign(answer, usual) for answer in row] for row in rows]),
    }


def echoes(answer: str, prompt: str) -> bool:
    """Whether the answer begins by repeating the whole prompt, or is the beginning of it (three words at least)."""
    if not prompt:
        return False
    said, asked = normalize_answer(answer), normalize_answer(prompt)
    return min(said.count(" "), asked.count(" ")) >= 2 and (said.startswith(asked) or asked.startswith(said))


USUAL_SHARE = 0.05
"""A script is usual when it occurs in this share of those answers of the lowest candidate that have letters."""
FOREIGN_SHARE = 0.2
"""An answer is foreign when this share of its letters is in scripts that are not usual."""


def usual_scripts(answers: Iterable[str]) -> frozenset[str]:
    """The scripts (LATIN, CYRILLIC, CJK, ...) that answers are written in; a stray letter does not count."""
    written = [scripts for answer in answers if (scripts := set(letters(answer)))]
    occurrences = Counter(script for scripts in written for script in scripts)
    return frozenset(script for script, count in occurrences.items() if count >= USUAL_SHARE * len(written))


def is_foreign(answer: str, usual: frozenset[str]) -> bool:
    """Whether a good part of the answer's letters is in scripts that are not usual."""
    found = letters(answer)
    foreign = sum(count for script, count in found.items() if script not in usual)
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


def has_too_many(counts: Counts, prompts: int, limits: Limits) -> NDArray[np.bool_]:
    """Which candidates have too many answers with one fault, by how many each has. [C] -> [C]"""
    least = counts.min()
    by_chance = binomial_tail(counts, prompts, max(least / prompts, limits.usual))
    more = (counts - least >= limits.excess * prompts) & (by_chance <= limits.chance)
    return np.asarray((counts > limits.majority * prompts) | more)


def is_too_constant(counts: Counts, least: int, prompts: int, limits: Limits) -> NDArray[np.bool_]:
    """Which candidates give almost every prompt the same answer, though the task does not ask for it. [C] -> [C]

    Args:
        counts: how many prompts each candidate gives its most frequent answer to.
        least: the smallest of these counts among candidates without another fault.
    """
    constant = counts >= limits.constant * prompts
    more = counts - least >= limits.constant_excess * prompts
    return np.asarray(constant & more & (binomial_tail(counts, prompts, least / prompts) <= limits.chance))


def binomial_tail(successes: Counts | int, trials: int, rate: float) -> NDArray[np.float64]:
    """The probability of so many successes or more, each of the given rate: the binomial tail."""
    from scipy.special import bdtrc

    return np.asarray(bdtrc(np.asarray(successes, dtype=float) - 1, trials, rate))
