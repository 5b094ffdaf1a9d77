from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamms.engines.schedule import Schedule, forget
from adamms.merging.candidate import Candidate
from adamms.merging.recipe import Recipe
from adamms.prompts.prompt import Prompt


def at(value: float) -> Candidate:
    return Candidate(value, Recipe(alpha=value))


PROMPTS = [Prompt(str(i), "?") for i in range(10)]
PICTURED = [Prompt(str(i), "?", ("picture",)) for i in range(10)]


def test_an_actor_stays_at_its_alpha_while_there_is_work() -> None:
    schedule = Schedule({at(0.1): PROMPTS, at(0.2): PROMPTS}, block_size=5, attempts=3)
    taken = [schedule.take(actor) for actor in (0, 1, 0, 1)]
    assert [unit.candidate.value for unit in taken if unit] == [0.1, 0.2, 0.1, 0.2]
    assert schedule.take(0) is None


def test_an_idle_actor_helps_where_another_is_at_work() -> None:
    schedule = Schedule({at(0.1): PROMPTS}, block_size=5, attempts=3)
    assert [schedule.take(actor) is not None for actor in (0, 1, 2)] == [True, True, False]


def test_an_alpha_is_given_up_once_when_a_unit_has_had_its_attempts() -> None:
    schedule = Schedule({at(0.1): PROMPTS, at(0.2): PROMPTS}, block_size=5, attempts=2)
    first, second = schedule.take(0), schedule.take(0)
    assert first is not None
    assert second is not None
    assert not schedule.gives_up(first)
    again = schedule.take(0)
    assert again is not None
    assert (again.prompts, again.attempt) == (first.prompts, 2)
    assert schedule.gives_up(again)
    assert schedule.given_up(at(0.1))
    assert not schedule.gives_up(second), "said once"
    assert {u.candidate.value for u in iter(lambda: schedule.take(0), None)} == {0.2}


def test_where_images_are_kept_no_two_actors_have_the_same_ones() -> None:
    work, had = dict.fromkeys(map(at, (0.1, 0.2, 0.3)), PICTURED), dict[str, set[int]]()
    schedule = Schedule(work, block_size=5, attempts=3, had=had)
    taken = [schedule.take(actor, keeps_images=True) for actor in (0, 1, 1, 0, 0, 1)]
    assert [unit.candidate.value for unit in taken if unit] == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]
    assert sorted(had.values(), key=str) == [{0}] * 5 + [{1}] * 5
    again = Schedule({at(0.4): PICTURED}, block_size=5, attempts=3, had=had)
    first = again.take(1, keeps_images=True)
    assert first is not None
    assert had[first.prompts[0].id] == {1}, "as in the work before"


def test_an_actor_helps_with_images_of_others_where_it_has_none_of_its_own() -> None:
    schedule = Schedule(dict.fromkeys(map(at, (0.1, 0.2)), PICTURED), block_size=5, attempts=3)
    taken = [schedule.take(actor, keeps_images=True) for actor in (0, 0, 1)]
    assert [unit.candidate.value for unit in taken if unit] == [0.1, 0.1, 0.2]


def test_an_engine_that_starts_anew_has_had_no_images() -> None:
    had = dict[str, set[int]]()
    Schedule({at(0.1): PICTURED}, block_size=10, attempts=3, had=had).take(0, keeps_images=True)
    forget(had, 0)
    again = Schedule({at(0.2): PICTURED}, block_size=10, attempts=3, had=had)
    assert again.take(1, keeps_images=True) is not None
    assert set(map(frozenset, had.values())) == {frozenset({1})}
    half = Schedule(dict.fromkeys(map(at, (0.3, 0.4)), PICTURED), block_size=10, attempts=3, had=had)
    taken = [half.take(actor, keeps_images=True) for actor in (1, 0)]
    assert [unit.candidate.value for unit in taken if unit] == [0.3, 0.4], "0 helps, 1 has its own"


@pytest.mark.parametrize("prompts", [PROMPTS, PICTURED])
@given(
    st.dictionaries(st.floats(0, 1), st.integers(0, 10), max_size=5),
    st.integers(1, 4),
    st.lists(st.integers(0, 3), min_size=60, max_size=60),
    st.booleans(),
)
def test_every_prompt_of_every_alpha_is_taken_once(
    prompts: list[Prompt], work: dict[float, int], block: int, actors: list[int], keeps_images: bool
) -> None:
    schedule = Schedule({at(alpha): prompts[:count] for alpha, count in work.items()}, block, attempts=1)
    units = [unit for actor in actors if (unit := schedule.take(actor, keeps_images))]
    assert sorted((unit.candidate.value, prompt.id) for unit in units for prompt in unit.prompts) == sorted(
        (alpha, prompt.id) for alpha, count in work.items() for prompt in PROMPTS[:count]
    )
    assert all(len(unit.prompts) <= block for unit in units)
