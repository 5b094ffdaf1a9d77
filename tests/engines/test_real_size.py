"""An engine at the shapes of a published model of half a billion parameters."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray

from adamms.checkpoint import open_checkpoint
from adamms.engines.engine import EngineSpec
from adamms.engines.pool import InferencePool
from adamms.engines.registry import engine_class
from adamms.merging.candidate import Candidate
from adamms.merging.recipe import Recipe
from tests.support.real_shapes import write_real_pair
from tests.support.specs import tiny_spec
from tests.support.tiny_models import tiny_prompts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineSpec]:
    pytest.importorskip("vllm")
    base, donor = write_real_pair(tmp_path_factory.mktemp("real"), "0.5b")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield tiny_spec(base, donor, kind="vllm", dtype="bfloat16", max_tokens=8, max_model_len=8192, kv_cache_gb=0.0)
    ray.shutdown()


def test_memory_is_known_beforehand_and_a_killed_engine_comes_back(spec: EngineSpec) -> None:
    candidates = [Candidate(alpha, Recipe(alpha=alpha)) for alpha in (0.2, 0.3)]
    base, donor = open_checkpoint(spec.plan.base.location), open_checkpoint(spec.plan.donor.location)
    need = engine_class("vllm").memory(spec.plan, base, donor, spec.config, "cpu")
    told: list[str] = []
    with InferencePool(spec, 1, told.append) as pool:
        assert pool.identity().dtype == "bfloat16"
        results = list(pool.answer(dict.fromkeys(candidates, tiny_prompts(4)), block_size=4))
        ray.kill(pool._actors[0], no_restart=False)
        results += pool.answer({candidates[0]: tiny_prompts(4)}, block_size=4, drafts=False)
    assert not any(result.error for result in results)
    first, _, again = results
    assert again.answers == first.answers
    assert again.digest == first.digest
    assert any(sentence.startswith("restarting engine 0") for sentence in told)
    assert need.least == pytest.approx(max(result.memory.resident for result in results), rel=0.15)
