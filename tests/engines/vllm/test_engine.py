"""Real vLLM (the CPU build) in one process: what moves, what is kept, and that nothing but the speed differs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("vllm")

from adamms.checkpoint import open_checkpoint
from adamms.engines.answer_reader import AnswerReader
from adamms.engines.config import EngineConfig
from adamms.engines.engine import Answer, Effort, EngineSpec
from adamms.engines.transformers_engine import TransformersEngine
from adamms.engines.vllm.engine import VllmEngine
from adamms.mapping import PlannedPair, plan_pair
from adamms.mapping.config import MappingConfig, PairSettings
from adamms.merging.recipe import Recipe
from adamms.merging.to_disk import merge_to_disk
from adamms.prompts.prompt import Given, Prompt
from tests.support.adapters import save_adapter
from tests.support.specs import tiny_spec, without
from tests.support.tiny_models import tiny_prompts

Tiny = Callable[[str], Path]
ALPHAS = (0.3, 0.6)
PAIRS = {  # base -> donor
    "qwen2-vl": "llava-onevision",
    "llava-onevision": "qwen2-vl",
    "llava": "llava-2",
    "qwen2-vl-tied": "qwen2-vl-tied-2",
}


KEPT: list[VllmEngine] = []  # an engine that goes takes the process group of all engines of its process along


def start(spec: EngineSpec) -> VllmEngine:
    engine = VllmEngine(spec)
    KEPT.append(engine)
    return engine


@contextmanager
def started(spec: EngineSpec) -> Iterator[VllmEngine]:
    """An engine of several ranks; their processes end with the block, since each waits in a loop that takes a core."""
    engine = start(spec)
    try:
        yield engine
    finally:
        engine._llm.llm_engine.engine_core.engine_core.model_executor.shutdown()


@dataclasses.dataclass(frozen=True)
class Live:
    """`untouched`: what the engine answered before it ever moved."""

    engine: VllmEngine
    spec: EngineSpec
    untouched: list[Answer]


@pytest.fixture(scope="module", params=PAIRS)
def live(request: pytest.FixtureRequest, tiny: Tiny) -> Live:
    base = request.param
    spec = tiny_spec(tiny(base), tiny(PAIRS[base]), kind="vllm")
    engine = start(spec)
    return Live(engine, spec, engine.generate(tiny_prompts()))


@pytest.fixture(scope="module")
def qwen(tiny: Tiny) -> VllmEngine:
    return start(tiny_spec(tiny("qwen2-vl"), tiny("llava-onevision"), kind="vllm"))


def fresh_answers(spec: EngineSpec, alpha: float, folder: Path, prompts: Sequence[Prompt]) -> list[Answer]:
    """What a new engine answers that loaded the exported checkpoint, and never moves."""
    base, donor = open_checkpoint(spec.plan.base.location), open_checkpoint(spec.plan.donors[0].location)
    merge_to_disk(PlannedPair(spec.plan, base, (donor,)), Recipe(alpha=alpha), folder)
    digest = open_checkpoint(str(folder)).digest
    exported = dataclasses.replace(spec.plan.base, location=str(folder), digest=digest)
    return start(dataclasses.replace(spec, plan=dataclasses.replace(spec.plan, base=exported))).generate(prompts)


def test_answers_are_those_of_the_exported_checkpoint(live: Live, tmp_path: Path) -> None:
    prompts = tiny_prompts()
    seen = set()
    for alpha in ALPHAS:
        live.engine.move(Recipe(alpha=alpha))
        answers = live.engine.generate(prompts)
        assert answers == fresh_answers(live.spec, alpha, tmp_path / str(alpha), prompts)
        seen.add(tuple(answer.tokens for answer in answers))
    live.engine.move(Recipe(alpha=0.0))
    assert live.engine.generate(prompts) == live.untouched
    seen.add(tuple(answer.tokens for answer in live.untouched))
    assert len(seen) == len(ALPHAS) + 1, "every candidate answers differently, or the test shows nothing"


def test_several_donors_in_place_are_those_of_the_exported_checkpoint(
    qwen: VllmEngine, tiny: Tiny, tmp_path: Path
) -> None:
    """Then one of weight 0 is as if it were not there, and the engine goes back to its one donor."""
    prompts, base = tiny_prompts(), tiny("qwen2-vl")
    donors = tuple(str(tiny(name)) for name in ("llava-onevision", "qwen2-vl-2"))
    pair = plan_pair(PairSettings(str(base), donors=donors, mapping=MappingConfig(ancestry_check="off")))
    qwen.adopt(pair.plan)
    mixed = qwen.move(Recipe(alpha=(0.3, 0.4)))
    answers = qwen.generate(prompts)
    exported = open_checkpoint(str(merge_to_disk(pair, Recipe(alpha=(0.3, 0.4)), tmp_path / "merged")))
    spec = tiny_spec(base, donors[0], kind="vllm")
    identity = dataclasses.replace(spec.plan.base, location=str(exported.folder), digest=exported.digest)
    assert (
        start(dataclasses.replace(spec, plan=dataclasses.replace(spec.plan, base=identity))).generate(prompts)
        == answers
    )
    alone = qwen.move(Recipe(alpha=(0.6, 0.0)))
    answers = qwen.generate(prompts)
    qwen.adopt(spec.plan)
    assert qwen.move(Recipe(alpha=0.6)) == alone != mixed
    assert qwen.generate(prompts) == answers


def test_an_engine_says_what_it_turned_out_to_be(live: Live) -> None:
    import vllm

    found = live.engine.identity
    assert (found.kind, found.dtype, found.device) == ("vllm", "float32", "cpu"), "the spec says auto"
    assert dict(found.versions).keys() == {"torch", "transformers", "vllm"}
    assert dict(found.versions)["vllm"] == vllm.__version__


def test_there_and_back_is_bit_identical(live: Live) -> None:
    prompts = tiny_prompts(3)
    seen: dict[float, Any] = {}
    for alpha in (0.2, 0.5, 0.2, 0.0, 0.5):
        digest = live.engine.move(Recipe(alpha=alpha))
        parameters = live.engine._llm.collective_rpc("adamms_live_digest")
        state = (digest, parameters, live.engine.generate(prompts))
        assert seen.setdefault(alpha, state) == state
    assert len({digest for digest, _, _ in seen.values()}) == len(seen)
    base = Path(live.spec.plan.base.location)
    assert live.engine.take_peak().resident > sum(file.stat().st_size for file in base.glob("*.safetensors"))


def forget_images(engine: VllmEngine) -> None:
    engine._llm.llm_engine.reset_mm_cache()
    engine._llm.llm_engine.reset_encoder_cache()


def test_vision_is_computed_once_and_the_prefix_cache_is_reset(qwen: VllmEngine) -> None:
    # Longer than a block of the prefix cache on a CPU (128 tokens), or keeping it would not show.
    prompts = tiny_prompts(text="What is this? " * 12)
    images = sum(len(prompt.images) for prompt in prompts)
    forget_images(qwen)
    before = qwen.effort
    qwen.move(Recipe(alpha=0.1))
    first = qwen.generate(prompts)
    assert (qwen.effort - before).encoded_images == images
    before = qwen.effort
    qwen.move(Recipe(alpha=0.6))
    second = qwen.generate(prompts)
    assert (qwen.effort - before).encoded_images == 0
    assert first != second
    # With every cache emptied the answers are the same.
    forget_images(qwen)
    qwen.move(Recipe(alpha=0.6))
    before = qwen.effort
    assert qwen.generate(prompts) == second
    assert (qwen.effort - before).encoded_images == images


def test_drafts_change_the_effort_and_nothing_else(qwen: VllmEngine) -> None:
    prompts = tiny_prompts(9)
    qwen.move(Recipe(alpha=0.3))
    neighbour = {answer.prompt_id: answer.tokens for answer in qwen.generate(prompts)}
    for alpha in (0.3, 0.301, 0.31, 0.6):
        qwen.move(Recipe(alpha=alpha))
        before = qwen.effort
        plain = qwen.generate(prompts)
        decoding = qwen.effort - before
        before = qwen.effort
        drafted = qwen.generate(prompts, neighbour)
        effort = qwen.effort - before
        assert drafted == plain
        if alpha == 0.3:
            assert effort.drafted_tokens == decoding.decoded_tokens - len(prompts)  # the prefill gives the first ones
            assert effort.decoded_tokens <= 2 * len(prompts)
        if alpha < 0.31:
            assert effort.drafted_tokens > 0


def test_drafts_that_end_early_or_are_wrong_are_continued(qwen: VllmEngine) -> None:
    prompts = tiny_prompts(5)
    qwen.move(Recipe(alpha=0.2))
    plain = qwen.generate(prompts)
    drafts = {
        "0": plain[0].tokens[:4],  # the neighbour ended here
        "1": (*plain[1].tokens[:3], 7, 7, 7),
        "2": (7,),
        "3": (*plain[3].tokens, 7, 7, 7, 7),  # longer than may be answered
    }
    assert qwen.generate(prompts, drafts) == plain


def test_a_draft_that_is_in_the_prefix_cache_is_not_believed(qwen: VllmEngine) -> None:
    """vLLM computes no log-probabilities for what it has cached, and gives whatever lay in that memory."""
    prompts = tiny_prompts(1, (0,), "What is this? " * 7)
    qwen.move(Recipe(alpha=0.2))
    plain = qwen.generate(prompts)
    asked = len(qwen._chat.tokens(prompts[0]))
    assert asked < 127 < asked + len(plain[0].tokens)  # a block of the cache, 128 tokens on a CPU, ends in the answer
    before = qwen.effort
    assert qwen.generate(prompts, {prompts[0].id: plain[0].tokens}) == plain
    assert (qwen.effort - before).drafted_tokens == 0


class Letters:
    """A chat whose tokens are letters: 1 is a, 2 is b, ..."""

    ends: frozenset[int] = frozenset()
    eos_token_id = None

    @property
    def tokenizer(self) -> Letters:
        return self

    def tokens(self, prompt: Prompt) -> list[int]:
        return [ord(letter) - 96 for letter in prompt.text]

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        return {"input_ids": self.tokens(Prompt("", text))}

    def decode(self, tokens: list[int], skip_special_tokens: bool) -> str:
        return "".join(chr(96 + token) for token in tokens)


class Strict:
    """In place of `vllm.LLM`: refuses a prompt that leaves no room for a token, as vLLM does, and answers aaaa."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def generate(self, requests: list[dict[str, Any]], options: Any, use_tqdm: bool) -> list[Any]:
        return [self._answer(request["prompt_token_ids"]) for request in requests]

    def _answer(self, tokens: list[int]) -> Any:
        if len(tokens) >= self.limit:
            raise ValueError("plus the number of requested output tokens (at least 1) is longer than the maximum")
        sure = SimpleNamespace(rank=1, logprob=-0.5)
        return SimpleNamespace(
            outputs=[SimpleNamespace(token_ids=[1], logprobs=[{1: sure}])],
            prompt_token_ids=tokens,
            prompt_logprobs=[None, *({token: sure} for token in tokens[1:])],
            num_cached_tokens=0,
        )

    def collective_rpc(self, name: str) -> list[int]:
        return [0]


def test_a_prompt_that_just_fits_takes_a_whole_draft_and_is_scored_as_far_as_there_is_room() -> None:
    engine, limit, max_tokens = VllmEngine.__new__(VllmEngine), 10, 4
    engine._config, engine._longest, engine.effort = EngineConfig(max_tokens=max_tokens), limit, Effort()
    engine._chat, engine._llm = Letters(), Strict(limit)  # type: ignore[assignment]
    engine._reader = AnswerReader(engine._chat, max_tokens)
    asked = Prompt("p", "x" * (limit - max_tokens))
    (answer,) = engine.generate([asked], {"p": (1, 1, 1, 1)})
    assert (answer.text, answer.finish_reason) == ("aaaa", "length")
    given = [dataclasses.replace(asked, given=Given(text, ended=False)) for text in ("abc", "abcd", "abcdefgh")]
    assert [answer.logprobs for answer in engine.score(given)] == [(-0.5, -0.5, -0.5)] * 3


def test_stop_strings_end_an_answer_alike_with_and_without_drafts(tiny: Tiny, qwen: VllmEngine) -> None:
    prompts = tiny_prompts(4)
    qwen.move(Recipe(alpha=0.2))
    whole = qwen.generate(prompts)
    # Random weights answer many halves of characters; a stop string is whole ones.
    cut, stop = next((i, one) for i, answer in enumerate(whole) for one in answer.text[1:] if one.isascii())
    spec = tiny_spec(tiny("qwen2-vl"), tiny("llava-onevision"), kind="vllm", stop=(stop,))
    engine = start(spec)
    engine.move(Recipe(alpha=0.2))
    plain = engine.generate(prompts)
    assert plain[cut].text == whole[cut].text.partition(stop)[0]
    assert plain[cut].finish_reason == "stop"
    assert len(plain[cut].tokens) <= len(whole[cut].tokens)
    assert engine.generate(prompts, {answer.prompt_id: answer.tokens for answer in whole}) == plain
    assert engine.generate(prompts, {answer.prompt_id: answer.tokens for answer in plain}) == plain


def test_prompts_are_tokenised_as_the_models_own_processor_does(live: Live) -> None:
    chat = live.engine._chat
    for prompt in [*tiny_prompts(3, images(live)), Prompt("s", "Hello", system="Be brief.")]:
        outputs = live.engine._run([live.engine._request(prompt)], [_one_token()])
        assert outputs[0].prompt_token_ids == chat.inputs([prompt])["input_ids"][0].tolist()


def test_both_engines_merge_the_same_weights_and_answer_alike(live: Live) -> None:
    from adamms.engines.transformers_engine import TransformersEngine

    other, prompts = TransformersEngine(live.spec), tiny_prompts(4, images(live))
    for alpha in (0.0, 0.4):
        assert other.move(Recipe(alpha=alpha)) == live.engine.move(Recipe(alpha=alpha))
        assert other.generate(prompts) == live.engine.generate(prompts)


def images(live: Live) -> tuple[int, ...]:
    """Of several images in one prompt, LLaVA-OneVision's processor shows each at its base size; vLLM cuts each up."""
    return (1, 0) if live.spec.plan.base.architecture == "llava-onevision" else (1, 0, 2)


def _one_token() -> Any:
    from vllm import SamplingParams

    return SamplingParams(temperature=0.0, max_tokens=1)


def test_another_donor_takes_over_as_if_the_engine_were_new(qwen: VllmEngine, tiny: Tiny) -> None:
    """Also where it merges less: what only the first donor had changed is the base's own again. Vision work stays."""
    prompts = tiny_prompts()
    first = tiny_spec(tiny("qwen2-vl"), tiny("llava-onevision"), kind="vllm")
    plan = without(tiny_spec(tiny("qwen2-vl"), tiny("qwen2-vl-2")).plan, "mlp")
    assert {tensor.name for tensor in first.plan.merged} - {tensor.name for tensor in plan.merged}
    qwen.move(Recipe(alpha=0.6))
    qwen.generate(prompts)
    encoded = qwen.effort.encoded_images
    qwen.adopt(plan)
    digest = qwen.move(Recipe(alpha=0.3))
    answers = qwen.generate(prompts)
    assert qwen.effort.encoded_images == encoded
    new = start(dataclasses.replace(first, plan=plan))
    assert new.move(Recipe(alpha=0.3)) == digest
    assert new.generate(prompts) == answers
    live, fresh = (one._llm.collective_rpc("adamms_live_digest") for one in (qwen, new))
    assert live == fresh
    qwen.adopt(first.plan)


def test_log_probabilities_are_those_of_the_other_engine_with_and_without_drafts(qwen: VllmEngine, tiny: Tiny) -> None:
    spec = tiny_spec(tiny("qwen2-vl"), tiny("llava-onevision"), kind="vllm", dtype="float32")
    vllm, transformers, prompts = start(spec), TransformersEngine(spec), tiny_prompts()
    for engine in (vllm, transformers):
        engine.move(Recipe(alpha=0.3))
    plain, theirs = vllm.generate(prompts), transformers.generate(prompts)
    drafted = vllm.generate(prompts, {answer.prompt_id: answer.tokens[:3] for answer in plain})
    assert plain == theirs == drafted
    for answers in (plain, drafted):
        for answer, other in zip(answers, theirs, strict=True):
            assert answer.logprobs == pytest.approx(other.logprobs, abs=1e-3)


def test_given_answers_are_scored_as_by_the_other_engine(qwen: VllmEngine, tiny: Tiny) -> None:
    """Also where they begin alike, are asked for twice, are empty, and where the prompt fills its cache blocks."""
    engine, asked = TransformersEngine(tiny_spec(tiny("qwen2-vl"), tiny("llava-onevision"))), tiny_prompts(3)
    short = tiny_prompts(1, (0,), "x")[0]
    missing = 128 - len(qwen._chat.tokens(short))  # a block of the cache, on a CPU
    full = dataclasses.replace(short, id="full", text="x" + " x" * missing)
    texts = [("a red car", True), ("a red car and a tree", False), ("", True), ("", False), ("a red car", True)]
    prompts = [
        dataclasses.replace(prompt, id=f"{prompt.id} {i}", given=Given(text, ended))
        for prompt in [*asked, full]
        for i, (text, ended) in enumerate(texts)
    ]
    before = qwen.effort
    for alpha in (0.0, 0.4):
        qwen.move(Recipe(alpha=alpha))
        engine.move(Recipe(alpha=alpha))
        scored, other = qwen.score(prompts), engine.score(prompts)
        assert scored == other
        assert [answer.text for answer in scored] == [prompt.given.text for prompt in prompts if prompt.given]
        for mine, theirs in zip(scored, other, strict=True):
            assert mine.logprobs == pytest.approx(theirs.logprobs, abs=1e-3)
    assert (qwen.effort - before).decoded_tokens == 0


def test_new_and_given_answers_come_in_the_order_of_the_prompts(qwen: VllmEngine) -> None:
    new, given = tiny_prompts(4), Given("a red car", ended=True)
    mixed = [dataclasses.replace(prompt, given=given) if i % 2 else prompt for i, prompt in enumerate(new)]
    qwen.move(Recipe(alpha=0.2))
    answers = qwen.answer(mixed)
    assert answers[::2] == qwen.generate(new[::2])
    assert answers[1::2] == qwen.score(mixed[1::2])


def test_a_base_and_a_donor_with_adapters(tiny: Tiny, tmp_path: Path) -> None:
    """The base's changes its vision tower, too; an engine stands at the sum before it ever moves."""
    lora = {"target_modules": ["q_proj", "up_proj", "qkv", "fc1"], "modules_to_save": ["lm_head"]}
    base = save_adapter(tiny("qwen2-vl"), tmp_path / "base", seed=1, **lora)
    donor = save_adapter(tiny("llava-onevision"), tmp_path / "donor", seed=2)
    spec, prompts = tiny_spec(f"{tiny('qwen2-vl')}+{base}", donor, kind="vllm"), tiny_prompts()
    engine = start(spec)
    seen: dict[float, Any] = {0.0: (_live(engine), engine.generate(prompts))}
    for alpha in (0.3, 0.6, 0.3, 0.0):
        engine.move(Recipe(alpha=alpha))
        state = _live(engine), engine.generate(prompts)
        assert seen.setdefault(alpha, state) == state
    assert len({digest for digest, _ in seen.values()}) == 3
    assert seen[0.0][1] == TransformersEngine(spec).generate(prompts)
    answers = fresh_answers(spec, 0.6, tmp_path / "0.6", prompts)
    assert seen[0.6] == (_live(KEPT[-1]), answers)


def _live(engine: VllmEngine) -> str:
    return str(engine._llm.collective_rpc("adamms_live_digest"))


@pytest.mark.slow
def test_two_ranks_merge_and_answer_as_one_does(qwen: VllmEngine, tiny: Tiny) -> None:
    """Tensor parallelism: every rank merges whole tensors, vLLM's loader takes its shard."""
    spec = tiny_spec(tiny("qwen2-vl"), tiny("llava-onevision"), kind="vllm", tensor_parallel_size=2)
    prompts = tiny_prompts()
    qwen.adopt(spec.plan)
    with started(spec) as both:
        for alpha in (0.3, 0.6, 0.3):
            assert both.move(Recipe(alpha=alpha)) == qwen.move(Recipe(alpha=alpha))
            assert both.generate(prompts) == qwen.generate(prompts)
