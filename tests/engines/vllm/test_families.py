"""A mixture of experts and a hybrid in real vLLM: fused experts and linear attention move as dense layers do."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

pytest.importorskip("vllm")

from adamms.engines.engine import Answer, EngineSpec
from adamms.errors import UserError
from adamms.merging.recipe import Recipe
from tests.engines.vllm.test_engine import fresh_answers, start
from tests.support.specs import tiny_spec
from tests.support.tiny_models import tiny_prompts


@pytest.mark.slow
@pytest.mark.parametrize(("base", "dtype"), [("qwen3-vl-moe", "float32"), ("qwen3.5", "bfloat16")])
def test_a_family_moves_there_and_back_and_answers_as_exported(
    base: str, dtype: str, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    spec = tiny_spec(tiny(base), tiny(f"{base}-2"), kind="vllm", dtype=dtype)
    assert spec.plan.warnings == ()
    # vLLM makes the process group of experts only where a process's first engine has some
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        alone.submit(_moves_there_and_back, spec, tmp_path).result()


def _moves_there_and_back(spec: EngineSpec, folder: Path) -> None:
    engine, prompts = start(spec), tiny_prompts(3)
    untouched = engine.generate(prompts)
    seen = {}
    for alpha in (0.3, 0.6, 0.3, 0.0):
        digest = engine.move(Recipe(alpha=alpha))
        state = (digest, engine._llm.collective_rpc("adamms_live_digest"), engine.generate(prompts))
        assert seen.setdefault(alpha, state) == state
    assert seen[0.0][2] == untouched
    assert seen[0.3][2] == fresh_answers(spec, 0.3, folder / "exported", prompts)
    assert len({str(answers) for _, _, answers in seen.values()}) == len(seen), "or the test shows nothing"
    for drafts in (untouched, seen[0.6][2]):
        drafted = engine.generate(prompts, {answer.prompt_id: answer.tokens for answer in drafts})
        assert all(map(_alike, drafted, untouched))


def _alike(one: Answer, other: Answer) -> bool:
    """The same tokens, up to one that is as likely as the other's but for rounding: bfloat16 has eight bits, and a
    prefill adds up in another order than decoding does."""
    assert one.logprobs is not None
    assert other.logprobs is not None
    for token, others, logprob, of_others in zip(one.tokens, other.tokens, one.logprobs, other.logprobs, strict=False):
        if token != others:
            return abs(logprob - of_others) < 0.05
    return len(one.tokens) == len(other.tokens)


def test_linear_attention_in_float32_on_a_cpu_is_refused_before_anything_is_loaded(tiny: Callable[[str], Path]) -> None:
    with pytest.raises(UserError, match=r"qwen3.5: vLLM computes linear .* set engine.dtype=bfloat16"):
        start(tiny_spec(tiny("qwen3.5"), tiny("qwen3.5-2"), kind="vllm", device="cpu"))
