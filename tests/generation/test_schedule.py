from __future__ import annotations

from adamms.generation.prompts import Prompt
from adamms.generation.schedule import Schedule

PROMPTS = [Prompt(str(i), "?") for i in range(4)]


def test_an_actor_stays_at_its_alpha_and_others_take_the_next() -> None:
    schedule = Schedule({0.2: PROMPTS, 0.1: PROMPTS}, block_size=2, attempts=3)
    taken = [schedule.take(actor) for actor in (0, 1, 0, 1)]
    assert [unit.alpha for unit in taken if unit] == [0.1, 0.2, 0.1, 0.2]
    assert schedule.take(0) is None


def test_an_idle_actor_helps_where_units_are_left() -> None:
    schedule = Schedule({0.1: PROMPTS}, block_size=1, attempts=3)
    assert {unit.prompts[0].id for actor in (0, 1, 0, 1) if (unit := schedule.take(actor))} == {"0", "1", "2", "3"}


def test_an_alpha_is_given_up_once_when_a_unit_has_had_its_attempts() -> None:
    schedule = Schedule({0.1: PROMPTS, 0.2: PROMPTS}, block_size=2, attempts=2)
    first, second = schedule.take(0), schedule.take(0)
    assert first
    assert second
    assert not schedule.gives_up(first)
    again = schedule.take(0)
    assert again
    assert again.attempt == 2
    assert schedule.gives_up(again)
    assert schedule.given_up(0.1)
    assert not schedule.gives_up(second), "said once"
    assert schedule.waiting == 2
    assert schedule.take(0).alpha == 0.2
