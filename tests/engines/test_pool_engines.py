"""Real engines in real Ray actors, one of which is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray

from adamms.engines.engine import Answer, EngineSpec
from adamms.engines.pool import InferencePool
from adamms.merging.candidate import Candidate
from adamms.merging.recipe import Recipe
from tests.support.specs import tiny_spec
from tests.support.tiny_models import tiny_prompts

ALPHAS = (0.0, 0.2, 0.4)


@pytest.fixture(scope="module", autouse=True)
def session() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def answers(spec: EngineSpec, actors: int, kill_after: int = 0) -> dict[float, list[Answer]]:
    """All answers; after so many units, the process of one actor is killed."""
    found: dict[float, list[Answer]] = {alpha: [] for alpha in ALPHAS}
    with InferencePool(spec, actors) as pool:
        candidates = [Candidate(alpha, Recipe(alpha=alpha)) for alpha in ALPHAS]
        results = pool.answer(dict.fromkeys(candidates, tiny_prompts(8)), block_size=4)
        for count, result in enumerate(results, start=1):
            assert result.error is None
            found[result.candidate.value] += result.answers
            if count == kill_after:
                _kill_an_actor()
    return {alpha: sorted(given, key=lambda answer: answer.prompt_id) for alpha, given in found.items()}


def _kill_an_actor() -> None:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            title = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if title.startswith(b"ray::EngineActor") and _is_ours(process):
            os.kill(int(process.name), signal.SIGKILL)
            return
    raise AssertionError("no actor found")


def _is_ours(process: Path) -> bool:
    """Other tests may run on this machine: only actors of this session's raylet count."""
    session = ray._private.worker._global_node.get_session_dir_path()
    return session.encode() in (process / "environ").read_bytes() or any(
        session in str(link.readlink()) for link in (process / "fd").iterdir() if link.is_symlink()
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["transformers", "vllm"])
def test_killing_an_actor_changes_no_answer(tiny: Callable[[str], Path], kind: str) -> None:
    if kind == "vllm":
        pytest.importorskip("vllm")
    spec = tiny_spec(tiny("qwen2-vl"), tiny("llava-onevision"), kind=kind)
    calm = answers(spec, actors=1)
    assert len({tuple(given) for given in calm.values()}) == len(ALPHAS)
    assert answers(spec, actors=2, kill_after=2) == calm
