from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from adamms.sweeping.schedule import SweepSchedule

SEARCHES = st.lists(st.sampled_from("abc"), min_size=1, max_size=30).map(
    lambda keys: {f"search {number}": key for number, key in enumerate(keys)}
)


@given(SEARCHES, st.lists(st.integers(0, 3), max_size=80))
def test_every_search_is_taken_once_whoever_asks(engines: dict[str, str], lanes: list[int]) -> None:
    schedule = SweepSchedule(engines)
    taken = [name for name in (schedule.take(lane) for lane in lanes) if name is not None]
    while (name := schedule.take(0)) is not None:
        taken.append(name)
    assert Counter(taken) == Counter(engines.keys())


@given(SEARCHES, st.integers(1, 4))
def test_a_lane_changes_its_engines_only_when_nothing_is_left_for_them(engines: dict[str, str], lanes: int) -> None:
    schedule, at, left = SweepSchedule(engines), {}, Counter(engines.values())
    turn = 0
    while (name := schedule.take(turn % lanes)) is not None:
        before, now = at.get(turn % lanes), engines[name]
        assert before in (None, now) or not left[before]
        left[now] -= 1
        at[turn % lanes] = now
        turn += 1


def test_lanes_spread_over_bases_before_they_share_one() -> None:
    schedule = SweepSchedule({"a1": "a", "a2": "a", "a3": "a", "b1": "b", "c1": "c", "c2": "c"})
    assert [schedule.take(lane) for lane in (0, 1, 2)] == ["a1", "c1", "b1"]
    assert schedule.take(2) == "a2", "lane 2 has nothing left, and helps where most is"
    assert schedule.take(1) == "c2"
