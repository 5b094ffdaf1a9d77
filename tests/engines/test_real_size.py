"""An engine at the shapes of a published model of half a billion parameters."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from adamms.checkpoint import open_checkpoint
from adamms.engines.engine import EngineSpec
from adamms.engines.pool import InferencePool
from adamms.engines.registry import engine_class
from adamms.merging.candidate import Candidate
from adamms.merging.recipe import Recipe
from tests.support.specs import tiny_spec
from tests.support.tiny_models import tiny_prompts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


SETTINGS: dict[str, Any] = {
    "kind": "vllm",
    "dtype": "bfloat16",
    "max_tokens": 8,
    "max_model_len": 8192,
    "kv_cache_gb": 0.0,
}


@pytest.fixture(scope="module")
def spec(real_pair: tuple[Path, Path]) -> Iterator[EngineSpec]:
    pytest.importorskip("vllm")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield tiny_spec(*real_pair, **SETTINGS)
    ray.shutdown()


def test_memory_is_known_beforehand_and_a_killed_engine_comes_back(spec: EngineSpec) -> None:
    candidates = [Candidate(alpha, Recipe(alpha=alpha)) for alpha in (0.2, 0.3)]
    base, donor = open_checkpoint(spec.plan.base.location), open_checkpoint(spec.plan.donors[0].location)
    need = engine_class("vllm").memory(spec.plan, base, (donor,), spec.config, "cpu")
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


def test_an_engine_that_cannot_start_says_why_in_one_line(spec: EngineSpec, tmp_path: Path) -> None:
    """Sections of the rotary embedding that do not add up raise deep inside vLLM, after the model was built."""
    base = Path(spec.plan.base.location)
    for file in base.iterdir():
        (tmp_path / file.name).symlink_to(file)
    text = (base / "config.json").read_text(encoding="utf-8")
    broken, count = re.subn(r'"mrope_section": \[[^]]*\]', '"mrope_section": [16, 24, 24]', text)
    assert count
    json.loads(broken)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(broken, encoding="utf-8")
    told: list[tuple[float, str]] = []
    began = time.monotonic()
    with (
        pytest.raises(RuntimeError, match="no engine starts: ") as error,
        InferencePool(
            tiny_spec(tmp_path, Path(spec.plan.donors[0].location), **SETTINGS),
            1,
            lambda sentence: told.append((time.monotonic() - began, sentence)),
        ) as pool,
    ):
        list(pool.answer({Candidate(0.2, Recipe(alpha=0.2)): tiny_prompts(4)}, block_size=4))
    assert "\n" not in str(error.value)
    assert "mrope" in str(error.value) or "section" in str(error.value), error.value
    assert any(sentence.startswith("restarting engine 0") for _, sentence in told)
    waits = [later - earlier for (earlier, _), (later, _) in itertools.pairwise([(0.0, ""), *told])]
    assert max(waits) < 60, told
