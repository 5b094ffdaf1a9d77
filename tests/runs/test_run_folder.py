from __future__ import annotations

from pathlib import Path

import pytest

from adamms.errors import UserError
from adamms.engines.engine import Answer, Effort
from adamms.engines.peak import GB, PeakMemory
from adamms.engines.pool import UnitResult
from adamms.prompts.prompt import Prompt
from adamms.searching.candidates import CandidateBook
from adamms.runs.responses import read_responses
from adamms.runs.run_folder import RunFolder

PROMPTS = [Prompt("a", "What?"), Prompt("b", "Where?"), Prompt("c", "Who?")]
ALPHAS = [0.0, 0.5, 1.0]


def answers(prompts: list[Prompt]) -> list[Answer]:
    return [Answer(prompt.id, f"answer to {prompt.text}", (1, 2), "stop") for prompt in prompts]


def test_what_is_stored_is_not_missing_and_the_rest_is(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, {"plan": "x"})
    run.save(0.5, PROMPTS[:2], answers(PROMPTS[:2]))
    run.save(1.0, PROMPTS, answers(PROMPTS))
    more = [*PROMPTS, Prompt("d", "Why?")]
    again = CandidateBook(RunFolder(tmp_path, {"plan": "x"}), more)
    assert again.missing(dict.fromkeys(ALPHAS, PROMPTS)) == {0.0: PROMPTS, 0.5: PROMPTS[2:]}
    # more prompts and finer alphas: only what is new
    assert again.missing(dict.fromkeys([0.5, 1.0], more)) == {0.5: more[2:], 1.0: more[3:]}


def test_a_candidate_costs_the_sum_of_its_units_and_holds_the_most_of_them(tmp_path: Path) -> None:
    book, count = CandidateBook(RunFolder(tmp_path, {}), PROMPTS), len(PROMPTS)
    for prompt, memory in zip(PROMPTS, (PeakMemory(2 * GB), PeakMemory(5 * GB, GB), PeakMemory(3 * GB)), strict=True):
        book.add(UnitResult(0.5, tuple(answers([prompt])), effort=Effort(decoded_tokens=7), memory=memory))
    book.add(UnitResult(1.0, tuple(answers(PROMPTS)), memory=PeakMemory(4 * GB, 2 * GB)))
    half, one = book.complete([0.5, 1.0])
    assert half.measured["decoded_tokens"] == 7 * count
    assert (half.measured["peak_memory_gb"], half.measured["peak_gpu_memory_gb"]) == (5, 1)
    assert one.measured["peak_memory_gb"] == 4
    assert book.memory() == PeakMemory(5 * GB, 2 * GB)


def test_responses_are_what_select_reads(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, {})
    for alpha in ALPHAS:
        run.save(alpha, PROMPTS, answers(PROMPTS))
    expected = {alpha: {p.id: f"answer to {p.text}" for p in PROMPTS} for alpha in ALPHAS}
    assert CandidateBook(run, PROMPTS).responses(ALPHAS, PROMPTS) == expected
    assert read_responses(tmp_path / "responses") == expected


@pytest.mark.parametrize(
    ("identity", "prompts"),
    [({"plan": "other"}, PROMPTS), ({"plan": "x"}, [Prompt("a", "Something else?")])],
    ids=["another plan", "another question under the same id"],
)
def test_answers_of_another_search_are_refused_or_set_aside(
    tmp_path: Path, identity: dict[str, str], prompts: list[Prompt]
) -> None:
    RunFolder(tmp_path, {"plan": "x"}).save(0.0, PROMPTS, answers(PROMPTS))
    other = RunFolder(tmp_path, identity)
    assert CandidateBook(other, prompts).missing({0.0: prompts}) == {0.0: prompts}
    with pytest.raises(UserError, match="another run_dir, or --force"):
        other.check_owner(ALPHAS, prompts, force=False)
    other.check_owner(ALPHAS, prompts, force=True)
    assert not other.store.folder.exists()
    assert read_responses(tmp_path / "responses.old-1")[0.0]["a"] == "answer to What?"


def test_a_search_owns_what_it_stored_itself(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, {"plan": "x"})
    run.check_owner(ALPHAS, PROMPTS, force=False)
    run.save(0.0, PROMPTS, answers(PROMPTS))
    run.check_owner(ALPHAS, PROMPTS, force=False)
    assert run.store.folder.exists()
