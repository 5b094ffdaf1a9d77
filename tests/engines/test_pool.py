"""Real Ray with engines that misbehave: one candidate may fail, nothing hangs, nothing else changes."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray

from adamms.engines.actor import UnitResult
from adamms.engines.config import EngineConfig
from adamms.engines.identity import EngineIdentity
from adamms.engines.loadable import _session
from adamms.engines.noise import Noise, noise_floor
from adamms.engines.pool import InferencePool
from adamms.engines.reservation import Reservation
from adamms.engines.schedule import Schedule, Unit
from adamms.errors import UserError
from adamms.merging.candidate import Candidate
from adamms.merging.recipe import Recipe
from adamms.prompts.prompt import Prompt
from tests.support.fake_engine import FakePlan, FakeSpec

ALPHAS = (0.0, 0.1, 0.2)
PADDING = b"x" * (2 << 20)


@pytest.fixture(scope="module", autouse=True)
def session() -> Iterator[None]:
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def at(value: float) -> Candidate:
    return Candidate(value, Recipe(alpha=value))


def work(asked: Sequence[Prompt], *values: float) -> dict[Candidate, Sequence[Prompt]]:
    """All of ALPHAS, unless values are given."""
    return dict.fromkeys(map(at, values or ALPHAS), asked)


def prompts(**odd: str) -> list[Prompt]:
    """Six prompts; `p2="0.1:die"` has the second misbehave at that alpha."""
    return [Prompt(f"p{i}", odd.get(f"p{i}", "?")) for i in range(6)]


def run(
    folder: Path,
    asked: Sequence[Prompt],
    actors: int = 2,
    seconds: float = 0.0,
    start: str = "",
    padding: bytes = b"",
    **config: Any,
) -> list[UnitResult]:
    spec = FakeSpec(EngineConfig(cpus=1, **config), folder, start, seconds, padding=padding)
    with InferencePool(spec, actors) as pool:  # type: ignore[arg-type]
        return list(pool.answer(work(asked), block_size=2))


def texts(results: Sequence[UnitResult], alpha: float) -> list[str]:
    return sorted(answer.text for result in results if result.candidate.value == alpha for answer in result.answers)


def whole(alpha: float) -> list[str]:
    return [f"p{i} at {alpha:g}" for i in range(6)]


def test_every_prompt_is_answered_once_at_every_alpha(tmp_path: Path) -> None:
    results = run(tmp_path, prompts())
    assert len(results) == 9
    assert {result.memory.resident for result in results} == {2}, "of this unit, two prompts, not of all before it"
    for alpha in ALPHAS:
        assert texts(results, alpha) == whole(alpha)
        assert {result.digest for result in results if result.candidate.value == alpha} == {f"{alpha:g}"}


def test_later_candidates_get_earlier_answers_as_drafts(tmp_path: Path) -> None:
    drafted = {result.candidate.value: result.effort.drafted_tokens for result in run(tmp_path, prompts(), actors=1)}
    assert drafted == {0.0: 0, 0.1: 4, 0.2: 4}
    assert all(not result.effort.drafted_tokens for result in run(tmp_path, prompts(), actors=1, drafts=False))


@pytest.mark.parametrize(("tokens", "kept"), [(1024, True), (0, False)])
def test_the_schedule_knows_whether_engines_keep_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens: int, kept: bool
) -> None:
    seen, take = list[bool](), Schedule.take

    def spy(schedule: Schedule, actor: int, keeps_images: bool = False) -> Unit | None:
        seen.append(keeps_images)
        return take(schedule, actor, keeps_images)

    monkeypatch.setattr(Schedule, "take", spy)
    pictured = [replace(prompt, images=("picture",)) for prompt in prompts()]
    results = run(tmp_path, pictured, vision_cache_tokens=tokens)
    assert set(seen) == {kept}
    assert all(texts(results, alpha) == whole(alpha) for alpha in ALPHAS)


@pytest.mark.parametrize("what", ["raise", "die"])
def test_a_poisoned_unit_fails_its_candidate_only(tmp_path: Path, what: str) -> None:
    results = run(tmp_path, prompts(p2=f"0.1:{what}"))
    failed = [result for result in results if result.error]
    assert [result.candidate.value for result in failed] == [0.1]
    assert "\n" not in str(failed[0].error)
    if what == "raise":
        assert failed[0].error == "ValueError: a poisoned prompt"
    assert texts(results, 0.0) == whole(0.0)
    assert texts(results, 0.2) == whole(0.2)


def test_an_actor_that_dies_is_started_anew_and_its_unit_tried_again(tmp_path: Path) -> None:
    results = run(tmp_path, prompts(p2="0.1:die once"), actors=1)
    assert (tmp_path / "died").exists()
    assert not any(result.error for result in results)
    assert all(texts(results, alpha) == whole(alpha) for alpha in ALPHAS)
    assert len(list(tmp_path.glob("pid-*"))) == 2


def test_a_hanging_unit_is_killed_and_fails(tmp_path: Path) -> None:
    results = run(tmp_path, prompts(p2="0.1:hang"), unit_timeout_s=1.0)
    assert [result.candidate.value for result in results if result.error] == [0.1]
    assert texts(results, 0.2) == whole(0.2)


def test_what_the_user_can_mend_reaches_the_user(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="mend it like this"):
        run(tmp_path, prompts(p2="0.1:user error"))
    with pytest.raises(UserError, match="mend it like this"):
        run(tmp_path, prompts(), start="user error")


def test_what_kept_an_engine_from_starting_is_not_told_to_who_asks_next(tmp_path: Path) -> None:
    (tmp_path / "pid-0").touch()
    config = EngineConfig(cpus=1)
    with InferencePool(FakeSpec(config, tmp_path, "user error"), 1) as pool:  # type: ignore[arg-type]
        for _ in range(2):
            with pytest.raises(UserError, match="mend it like this"):
                pool.identity()
        pool._refused = UserError("of an earlier search")
        with pytest.raises(UserError, match="mend it like this"):
            pool.identity()


@pytest.mark.parametrize("actors", [1, 2])
def test_what_one_search_has_to_mend_costs_the_next_one_no_engine(tmp_path: Path, actors: int) -> None:
    config = EngineConfig(cpus=1)
    with InferencePool(FakeSpec(config, tmp_path), actors) as pool:  # type: ignore[arg-type]
        with pytest.raises(UserError, match="mend it like this"):
            list(pool.answer(work(prompts(p0="0.0:user error", p2="0.0:user error"), 0.0), block_size=2))
        pool.adopt(FakeSpec(config, tmp_path, plan=FakePlan("two")))  # type: ignore[arg-type]
        results = list(pool.answer(work(prompts()), block_size=1))
        assert [texts(results, alpha) for alpha in ALPHAS] == [
            [f"{a} of donor two" for a in whole(alpha)] for alpha in ALPHAS
        ]
        assert len(pool._actors) == actors == len({*pool._idle, *(call.actor for call in pool._calls.values())})


@pytest.mark.parametrize(
    ("what", "tries", "reason"),
    [
        ("raise", 2, "ValueError: a poisoned prompt"),
        ("die", 3, r"its process died \(out of memory\?\): The actor"),
    ],
)
def test_an_engine_that_cannot_start_is_an_error_within_seconds_and_no_endless_loop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str, tries: int, reason: str
) -> None:
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=f"no engine starts: {reason}") as error:
        run(tmp_path, prompts(), actors=1, start=what, padding=PADDING)
    assert time.monotonic() - began < 30
    assert "\n" not in str(error.value)
    assert len(list(tmp_path.glob("tried-*"))) == tries
    assert [record.message.split(":")[0] for record in caplog.records if "restarting" in record.message] == [
        "restarting engine 0"
    ] * (tries - 1)


@pytest.mark.parametrize("when", ["starting", "answering"])
def test_an_engine_with_a_real_models_plan_is_started_anew_too(tmp_path: Path, when: str) -> None:
    """Ray keeps what is larger than 100 KB in its object store, and restarts no actor that was made with such."""
    start, asked = ("die once", prompts()) if when == "starting" else ("", prompts(p2="0.1:die once"))
    results = run(tmp_path, asked, actors=1, start=start, padding=PADDING)
    assert (tmp_path / "died").exists()
    assert not any(result.error for result in results)
    assert all(texts(results, alpha) == whole(alpha) for alpha in ALPHAS)


def test_what_answers_is_known_before_anything_is_asked(tmp_path: Path) -> None:
    with InferencePool(FakeSpec(EngineConfig(cpus=1), tmp_path), 1) as pool:  # type: ignore[arg-type]
        assert pool.identity() == pool.identity() == EngineIdentity("fake", "float32", "cpu", ())
        assert len(list(pool.answer(work(prompts(), 0.1), block_size=6))) == 1
    spec = FakeSpec(EngineConfig(cpus=1), tmp_path, "user error")
    with pytest.raises(UserError), InferencePool(spec, 1) as pool:  # type: ignore[arg-type]
        pool.identity()


def test_an_engine_holds_gpus_once_the_cluster_gives_them(tmp_path: Path) -> None:
    """Restarted, it holds no more than before."""
    held: list[int] = []
    spec = FakeSpec(EngineConfig(cpus=1), tmp_path)
    with InferencePool(spec, 1, holds=held.append) as pool:  # type: ignore[arg-type]
        assert held == [], "nothing is given yet"
        results = list(pool.answer(work(prompts(p2="0.1:die once")), block_size=2))
    assert (tmp_path / "died").exists()
    assert all(texts(results, alpha) == whole(alpha) for alpha in ALPHAS)
    assert held == [0] * len({result.actor for result in results}), "on a CPU it is none, told once an engine"


def test_engines_that_differ_are_refused(tmp_path: Path) -> None:
    spec = FakeSpec(EngineConfig(cpus=1), tmp_path, seconds=2.0, dtypes=("float32", "bfloat16"))
    with (
        pytest.raises(UserError, match=r"bfloat16.*engine\.dtype"),
        InferencePool(spec, 2) as pool,  # type: ignore[arg-type]
    ):
        list(pool.answer(work(prompts()), block_size=1))


def test_an_engine_that_never_is_ready_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="start_timeout_s"):
        run(tmp_path, prompts(), start="hang", start_timeout_s=3.0)


def test_whoever_asks_waits_for_an_engine_as_long_as_anybody(tmp_path: Path) -> None:
    spec = FakeSpec(EngineConfig(cpus=1, start_timeout_s=60.0), tmp_path)
    with InferencePool(spec, 1) as pool:  # type: ignore[arg-type]
        age(pool)
        pool.identity()
    with InferencePool(spec, 1) as pool:  # type: ignore[arg-type]
        age(pool)
        assert len(list(pool.answer(work(prompts(), 0.1), block_size=6))) == 1


def age(pool: InferencePool) -> None:
    """As if an hour had gone by in which nobody asked: a winner was exported, or an earlier search gave up."""
    for call in pool._calls.values():
        call.since -= 3600


def test_a_cluster_without_room_is_an_error(tmp_path: Path) -> None:
    spec = FakeSpec(EngineConfig(cpus=64, start_timeout_s=3.0), tmp_path)
    with (
        pytest.raises(UserError, match="64 CPU"),
        InferencePool(spec, 1) as pool,  # type: ignore[arg-type]
    ):
        list(pool.answer(work(prompts(), 0.0), block_size=2))


def test_nothing_is_waited_for_in_silence(tmp_path: Path) -> None:
    told: list[str] = []
    spec = FakeSpec(EngineConfig(cpus=64, start_timeout_s=8.0), tmp_path)
    with pytest.raises(UserError), InferencePool(spec, 1, told.append) as pool:  # type: ignore[arg-type]
        pool.identity()
    assert any(
        re.fullmatch(r"waiting for the cluster: each engine needs 64 CPU, [34] CPU and 0 GPU free \(\d+ s\)", one)
        for one in told
    ), told
    told.clear()
    spec = FakeSpec(EngineConfig(cpus=1, start_timeout_s=15.0), tmp_path, start="hang")
    with pytest.raises(UserError), InferencePool(spec, 2, told.append) as pool:  # type: ignore[arg-type]
        pool.identity()
    assert any(re.fullmatch(r"engines 0, 1 are loading \(\d+ s\)", one) for one in told), told
    told.clear()
    with InferencePool(FakeSpec(EngineConfig(cpus=1), tmp_path), 1, told.append) as pool:  # type: ignore[arg-type]
        list(pool.answer(work(prompts(p2="0.1:die once")), block_size=2))
    assert any(one.startswith("restarting engine 0: its process died (out of memory?)") for one in told), told


def test_an_engines_process_computes_with_its_share_of_the_cores_and_does_not_spin() -> None:
    @ray.remote
    class Threads:
        def found(self) -> tuple[int, str]:
            import torch

            return torch.get_num_threads(), os.environ["GOMP_SPINCOUNT"]

    actor = Threads.options(**Reservation(EngineConfig(cpus=1), 1).options()).remote()
    try:
        assert ray.get(actor.found.remote(), timeout=60) == (1, "0")
    finally:
        ray.kill(actor)


def test_what_an_engine_is_loaded_from_goes_with_the_session() -> None:
    """Its process is killed, and removes nothing."""

    @ray.remote
    class Engine:
        def folder(self) -> Path | None:
            return _session()

    actor = Engine.options(num_cpus=1).remote()
    try:
        found = ray.get(actor.folder.remote(), timeout=60)
    finally:
        ray.kill(actor)
    assert (found / "logs").is_dir(), "of Ray's own"
    assert found.name.startswith("session_")
    assert _session() is None, "of the driver, which removes its own folders"


def test_an_engine_over_several_ranks_has_a_placement_group_that_goes_with_the_pool(tmp_path: Path) -> None:
    from ray.util import placement_group_table

    results = run(tmp_path, prompts(), actors=1, tensor_parallel_size=2)
    assert len(results) == 9
    with pytest.raises(UserError):
        run(tmp_path, prompts(), actors=1, tensor_parallel_size=2, start="user error")
    groups = list(placement_group_table().values())
    assert len(groups) == 2
    assert {group["strategy"] for group in groups} == {"STRICT_PACK"}
    assert {group["state"] for group in groups} == {"REMOVED"}


def test_answers_that_vary_by_themselves_are_the_noise_floor(tmp_path: Path) -> None:
    spec = FakeSpec(EngineConfig(cpus=1), tmp_path)
    with InferencePool(spec, 1) as pool:  # type: ignore[arg-type]
        assert noise_floor(pool, at(0.1), prompts(), 4) == Noise(6, 0)
        noise = noise_floor(pool, at(0.1), prompts(p1="fickle", p3="fickle"), 4)
    assert noise == Noise(6, 2)
    assert noise.rate == 2 / 6


def test_a_caller_that_has_seen_enough_can_ask_again(tmp_path: Path) -> None:
    """Also where it leaves while several engines have just answered."""
    spec = FakeSpec(EngineConfig(cpus=1), tmp_path, seconds=0.2)
    with InferencePool(spec, 3) as pool:  # type: ignore[arg-type]
        while len(pool._idle) < 3:
            list(pool._step(Schedule({}, 1, 1)))
        first = pool.answer(work(prompts()), block_size=2)
        next(first)
        ray.wait(list(pool._calls), num_returns=len(pool._calls), timeout=60)
        next(first)
        first.close()  # type: ignore[attr-defined]
        assert {*pool._idle, *(call.actor for call in pool._calls.values())} == {0, 1, 2}
        results = list(pool.answer(work(prompts(), 0.2), block_size=2))
    assert {result.candidate.value for result in results} == {0.2}
    assert texts(results, 0.2) == whole(0.2)


@pytest.mark.slow  # `make faults` and `make kills` have the same within whole searches
def test_killing_actors_at_random_changes_nothing(tmp_path: Path) -> None:
    calm = run(tmp_path / "calm", prompts(), seconds=0.1) if (tmp_path / "calm").mkdir() is None else []
    (tmp_path / "stormy").mkdir()
    over = threading.Event()

    def storm() -> None:
        chance, killed = random.Random(0), set()
        while not over.wait(0.5) and len(killed) < 4:
            alive = [path for path in (tmp_path / "stormy").glob("pid-*") if path not in killed]
            if alive:
                victim = chance.choice(alive)
                killed.add(victim)
                os.kill(int(victim.name.removeprefix("pid-")), signal.SIGKILL)

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        stormy = run(tmp_path / "stormy", prompts(), seconds=0.4)
    finally:
        over.set()
        thread.join()
    assert len(list((tmp_path / "stormy").glob("pid-*"))) > 2, "no actor was killed"
    for alpha in ALPHAS:
        assert texts(stormy, alpha) == texts(calm, alpha) == whole(alpha)


def test_no_actor_outlives_the_pool(tmp_path: Path) -> None:
    run(tmp_path, prompts())
    pids = [int(path.name.removeprefix("pid-")) for path in tmp_path.glob("pid-*")]
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_runs(pid) for pid in pids)


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def test_another_donor_takes_over_inside_the_same_engines(tmp_path: Path) -> None:
    config = EngineConfig(cpus=1)
    first = FakeSpec(config, tmp_path)
    second = FakeSpec(config, tmp_path, plan=FakePlan("two"))
    with InferencePool(first, 2) as pool:  # type: ignore[arg-type]
        told = [list(pool.answer(work(prompts()), block_size=2))]
        for spec in (second, first):
            pool.adopt(spec)  # type: ignore[arg-type]
            assert not pool._blocks, "Ray's object store keeps no prompts of earlier plans"
            told.append(list(pool.answer(work(prompts()), block_size=2)))
    donors = ["", " of donor two", ""]  # an actor that was too slow for the second's work never left the first
    for results, donor in zip(told, donors, strict=True):
        assert [texts(results, alpha) for alpha in ALPHAS] == [
            [f"{a}{donor}" for a in whole(alpha)] for alpha in ALPHAS
        ]
    assert len(list(tmp_path.glob("pid-*"))) <= 2, "no engine was started anew"  # one may come up too late for any work


def test_an_actor_that_dies_comes_back_at_the_donor_that_is_wanted(tmp_path: Path) -> None:
    config = EngineConfig(cpus=1)
    with InferencePool(FakeSpec(config, tmp_path), 1) as pool:  # type: ignore[arg-type]
        list(pool.answer(work(prompts(), 0.0), block_size=6))
        pool.adopt(FakeSpec(config, tmp_path, plan=FakePlan("two")))  # type: ignore[arg-type]
        results = list(pool.answer(work(prompts(p2="0.1:die once"), 0.1), block_size=6))
    assert texts(results, 0.1) == [f"{text} of donor two" for text in whole(0.1)]
    assert len(list(tmp_path.glob("pid-*"))) == 2


def test_nothing_more_is_waited_for_once_it_is_enough(tmp_path: Path) -> None:
    seen: list[UnitResult] = []
    with InferencePool(FakeSpec(EngineConfig(cpus=1), tmp_path), 1) as pool:  # type: ignore[arg-type]
        for result in pool.answer(work(prompts()), block_size=2, until=lambda: len(seen) >= 2):
            seen.append(result)
        assert len(seen) == 2
        again = list(pool.answer(work(prompts(), 0.2), block_size=6))
    assert texts(again, 0.2) == whole(0.2)
