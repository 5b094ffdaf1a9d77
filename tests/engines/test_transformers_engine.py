from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adamms.checkpoint import open_checkpoint
from adamms.engines.chat import conversation, spoken
from adamms.engines.config import EngineConfig
from adamms.engines.engine import EngineSpec
from adamms.engines.transformers_engine import TransformersEngine
from adamms.mapping import MergePlan, PlannedPair, plan_merge, plan_pair
from adamms.mapping.config import MappingConfig, PairSettings
from adamms.mapping.pair import plan_alone
from adamms.merging import Recipe
from adamms.merging.to_disk import merge_to_disk
from adamms.prompts.config import PromptsConfig
from adamms.prompts.prompt import Given, Prompt, load_prompts
from tests.support.specs import without
from tests.support.tiny_models import TinyPair

CONFIG = EngineConfig(max_tokens=8, batch_size=5)


@pytest.fixture(scope="module")
def plan(tiny_pair: TinyPair) -> MergePlan:
    return plan_merge(open_checkpoint(str(tiny_pair.base)), open_checkpoint(str(tiny_pair.donor)), MappingConfig())


@pytest.fixture(scope="module")
def engine(plan: MergePlan) -> TransformersEngine:
    return TransformersEngine(EngineSpec(plan, CONFIG))


@pytest.fixture(scope="module")
def prompts(prompt_file: Path) -> list[Prompt]:
    return load_prompts(PromptsConfig(path=str(prompt_file)))


def test_going_back_to_an_alpha_gives_the_same_bits_and_answers(
    engine: TransformersEngine, prompts: list[Prompt]
) -> None:
    first = engine.move(Recipe(alpha=0.2))
    weights = {name: parameter.clone() for name, parameter in engine._parameters.items()}
    answers = engine.generate(prompts)
    assert engine.move(Recipe(alpha=0.7)) != first
    changed = engine.generate(prompts)
    assert engine.move(Recipe(alpha=0.2)) == first
    assert all(weights[name].equal(parameter) for name, parameter in engine._parameters.items())
    assert engine.generate(prompts) == answers
    assert changed != answers, "the tiny pair has to be one whose answers depend on alpha"


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_answers_are_those_of_the_exported_checkpoint(
    engine: TransformersEngine,
    prompts: list[Prompt],
    plan: MergePlan,
    tiny_pair: TinyPair,
    tmp_path: Path,
    alpha: float,
) -> None:
    """Checked with plain `transformers`, one prompt at a time, without any of our engine."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    base, donor = open_checkpoint(str(tiny_pair.base)), open_checkpoint(str(tiny_pair.donor))
    exported = merge_to_disk(PlannedPair(plan, base, (donor,)), Recipe(alpha=alpha), tmp_path / "merged")
    model = AutoModelForImageTextToText.from_pretrained(exported, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(exported)
    engine.move(Recipe(alpha=alpha))
    for prompt, answer in zip(prompts, engine.generate(prompts), strict=True):
        inputs = processor.apply_chat_template(
            conversation(prompt), add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        tokens = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        assert answer.text == processor.tokenizer.decode(tokens, skip_special_tokens=True)
        assert answer.prompt_id == prompt.id


def test_how_an_answer_ended_is_told(engine: TransformersEngine, prompts: list[Prompt]) -> None:
    for answer in engine.generate(prompts):
        assert (len(answer.tokens) == 8) == (answer.finish_reason == "length")


def test_another_donor_takes_over_as_if_the_engine_were_new(
    engine: TransformersEngine, prompts: list[Prompt], plan: MergePlan, tiny_pair: TinyPair
) -> None:
    """Also where it merges less: what only the first donor had changed is the base's own again."""
    base, donor = open_checkpoint(str(tiny_pair.base)), open_checkpoint(str(tiny_pair.ancestor))
    other = without(plan_merge(base, donor, MappingConfig()), "mlp")
    assert {tensor.name for tensor in other.merged} < {tensor.name for tensor in plan.merged}
    engine.move(Recipe(alpha=0.6))
    engine.adopt(other)
    digest = engine.move(Recipe(alpha=0.3))
    answers = engine.generate(prompts)
    new = TransformersEngine(EngineSpec(other, CONFIG))
    assert new.move(Recipe(alpha=0.3)) == digest
    live, fresh = engine._model.state_dict(), new._model.state_dict()
    assert all(live[name].equal(value) for name, value in fresh.items())
    assert new.generate(prompts) == answers
    engine.adopt(plan)
    assert engine.move(Recipe(alpha=0.2)) == TransformersEngine(EngineSpec(plan, CONFIG)).move(Recipe(alpha=0.2))


def test_several_donors_take_over_and_one_of_weight_0_is_as_if_not_there(
    engine: TransformersEngine, prompts: list[Prompt], plan: MergePlan, tiny_pair: TinyPair, tmp_path: Path
) -> None:
    pair = plan_pair(PairSettings(str(tiny_pair.base), donors=(str(tiny_pair.donor), str(tiny_pair.ancestor))))
    engine.adopt(pair.plan)
    digest = engine.move(Recipe(alpha=(0.3, 0.4)))
    answers = engine.generate(prompts)
    exported = merge_to_disk(pair, Recipe(alpha=(0.3, 0.4)), tmp_path / "merged")
    new = TransformersEngine(EngineSpec(plan_alone(open_checkpoint(str(exported))), CONFIG))
    assert new.generate(prompts) == answers
    alone = engine.move(Recipe(alpha=(0.6, 0.0)))
    answers = engine.generate(prompts)
    engine.adopt(plan)
    assert engine.move(Recipe(alpha=0.6)) == alone != digest
    assert engine.generate(prompts) == answers


def test_log_probabilities_are_those_of_one_look_at_prompt_and_answer(
    engine: TransformersEngine, prompts: list[Prompt]
) -> None:
    """Teacher forcing without a cache, one prompt at a time, against decoding in padded batches."""
    import torch

    engine.move(Recipe(alpha=0.3))
    for prompt, answer in zip(prompts, engine.generate(prompts), strict=True):
        inputs = engine._chat.inputs([prompt])
        ending = [min(engine._chat.ends)] if answer.finish_reason == "stop" else []
        told = torch.tensor([[*answer.tokens, *ending]])
        grown = {"input_ids": torch.cat([inputs["input_ids"], told], dim=1)}
        for name, value in inputs.items():
            if name in ("attention_mask", "mm_token_type_ids"):
                grown[name] = torch.cat([value, torch.full_like(told, int(name == "attention_mask"))], dim=1)
            elif name != "input_ids":
                grown[name] = value
        with torch.no_grad():
            logits = engine._model(**grown).logits[0, -told.shape[1] - 1 : -1].double()
        expected = logits.log_softmax(-1).gather(1, told.T)[:, 0]
        assert answer.logprobs is not None
        assert list(answer.logprobs) == pytest.approx(expected.tolist(), abs=1e-4)


def test_its_own_answers_are_scored_as_they_were_decoded(
    engine: TransformersEngine, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.move(Recipe(alpha=0.3))
    scores_as_it_decodes(engine, prompts, monkeypatch)


def scores_as_it_decodes(engine: TransformersEngine, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch) -> None:
    answers = engine.generate(prompts)
    given = [
        replace(prompt, given=Given(answer.text, answer.finish_reason == "stop"))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    # Random weights answer halves of characters, whose text reads as other tokens.
    end = min(engine._chat.ends)
    tokens = {
        asked.given: [*answer.tokens, *[end] * (answer.finish_reason == "stop")]
        for asked, answer in zip(given, answers, strict=True)
    }
    monkeypatch.setattr(engine._reader, "tokens_of", tokens.__getitem__)
    scored = engine.answer(given)
    assert scored == answers
    for mine, decoded in zip(scored, answers, strict=True):
        assert mine.logprobs == pytest.approx(decoded.logprobs, abs=1e-4)


def test_a_model_that_reads_text_only_answers_and_scores(tiny_pair: TinyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against plain `transformers`, one prompt at a time; the prompts are of different lengths."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny_pair.ancestor
    engine = TransformersEngine(EngineSpec(plan_alone(open_checkpoint(str(folder))), CONFIG))
    asked = [Prompt("a", "What is it?"), Prompt("b", "And what is above it, if anything is?", system="Be brief.")]
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        AutoTokenizer.from_pretrained(folder),
    )
    for prompt, answer in zip(asked, engine.generate(asked), strict=True):
        text = tokenizer.apply_chat_template(spoken(prompt), add_generation_prompt=True, tokenize=False)
        inputs = tokenizer(text, return_tensors="pt")
        tokens = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        assert answer.text == tokenizer.decode(tokens, skip_special_tokens=True)
    scores_as_it_decodes(engine, asked, monkeypatch)
