"""What candidates have answered, what is missing, and what it cost."""

from __future__ import annotations

from pathlib import Path

from adamms.engines.actor import UnitResult
from adamms.engines.engine import Answer, Effort
from adamms.engines.peak import GB, PeakMemory
from adamms.merging.candidate import Candidate
from adamms.merging.recipe import Recipe
from adamms.prompts.prompt import Prompt
from adamms.runs.answers import Answers
from adamms.searching.candidates import CandidateBook

PROMPTS = [Prompt("a", "What?"), Prompt("b", "Where?"), Prompt("c", "Who?")]
VALUES = [0.0, 0.5, 1.0]
HALF, ONE = Candidate(0.5, Recipe(alpha=0.5)), Candidate(1.0, Recipe(alpha=1.0))


def answers(prompts: list[Prompt]) -> list[Answer]:
    return [Answer(prompt.id, f"answer to {prompt.text}", (1, 2), "stop") for prompt in prompts]


def stored(folder: Path) -> Answers:
    return Answers(folder / "responses", {"plan": "x"})


def test_what_is_stored_is_not_missing_and_the_rest_is(tmp_path: Path) -> None:
    before = stored(tmp_path)
    before.save(0.5, PROMPTS[:2], answers(PROMPTS[:2]))
    before.save(1.0, PROMPTS, answers(PROMPTS))
    more = [*PROMPTS, Prompt("d", "Why?")]
    again = CandidateBook(stored(tmp_path), more)
    assert again.missing(dict.fromkeys(VALUES, PROMPTS)) == {0.0: PROMPTS, 0.5: PROMPTS[2:]}
    # more prompts and finer values: only what is new
    assert again.missing(dict.fromkeys([0.5, 1.0], more)) == {0.5: more[2:], 1.0: more[3:]}


def test_a_candidate_costs_the_sum_of_its_units_and_holds_the_most_of_them(tmp_path: Path) -> None:
    book, count = CandidateBook(stored(tmp_path), PROMPTS), len(PROMPTS)
    for prompt, memory in zip(PROMPTS, (PeakMemory(2 * GB), PeakMemory(5 * GB, GB), PeakMemory(3 * GB)), strict=True):
        book.add(UnitResult(HALF, tuple(answers([prompt])), effort=Effort(decoded_tokens=7), memory=memory))
    book.add(UnitResult(ONE, tuple(answers(PROMPTS)), memory=PeakMemory(4 * GB, 2 * GB)))
    half, one = book.complete([0.5, 1.0])
    assert (half.answers, half.tokens) == (count, 2 * count)
    assert half.measured["decoded_tokens"] == 7 * count
    assert (half.measured["peak_memory_gb"], half.measured["peak_gpu_memory_gb"]) == (5, 1)
    assert one.measured["peak_memory_gb"] == 4
    assert book.memory() == PeakMemory(5 * GB, 2 * GB)


def test_responses_are_those_of_the_candidates(tmp_path: Path) -> None:
    book = CandidateBook(stored(tmp_path), PROMPTS)
    for value in VALUES:
        book.add(UnitResult(Candidate(value, Recipe(alpha=value)), tuple(answers(PROMPTS))))
    expected = {value: {p.id: f"answer to {p.text}" for p in PROMPTS} for value in VALUES}
    assert book.responses(VALUES, PROMPTS) == expected


def test_a_candidate_s_seconds_are_those_of_the_answers_that_this_run_took(tmp_path: Path) -> None:
    """Killed after two of three answers, and run again."""
    stored(tmp_path).save(0.5, PROMPTS[:2], answers(PROMPTS[:2]))
    book = CandidateBook(stored(tmp_path), PROMPTS)
    book.add(UnitResult(HALF, tuple(answers(PROMPTS[2:])), generate_seconds=3.0))
    (half,) = book.complete([0.5])
    assert (half.answers, half.timed, half.generate_seconds) == (3, 1, 3.0)
