"""Models of ours against their authors' own code, in float32: what that answered, and how, is in references/."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

pytest.importorskip("vllm")

from adamms.checkpoint import open_checkpoint
from adamms.engines.config import EngineConfig
from adamms.engines.engine import Answer, EngineSpec
from adamms.engines.vllm import engine as vllm_engine
from adamms.engines.vllm.engine import VllmEngine
from adamms.mapping import PlannedPair, plan_merge
from adamms.mapping.config import MappingConfig
from adamms.merging.recipe import Recipe
from adamms.merging.to_disk import merge_to_disk
from adamms.prompts.prompt import Prompt
from tests.engines.vllm.test_engine import start, started
from tests.support import authors
from tests.support.pictures import picture, wide

NAMES = ["cogvlm", "cogvlm2", "mplug-owl2", "yi-vl", "onevision"]
ALIKE = ["llava", "llava-inside", "sharegpt4v", "onevision-frozen"]  # as one of the others, but for the tower's place
CLOSE = 1e-4  # of natural logarithms


def prompts_with(change: Callable[[bytes], bytes]) -> list[Prompt]:
    """What the references were asked, with pictures changed so."""
    asked = enumerate(authors.ASKED)
    return [Prompt(str(i), question, (change(picture(i)),) if image else ()) for i, (question, image) in asked]


PROMPTS = prompts_with(lambda square: square)


def reference(name: str, kind: str = "answers") -> list[dict[str, Any]]:
    file = Path(__file__).with_name("references") / f"{name}.json"
    found: list[dict[str, Any]] = json.loads(file.read_text())[kind]
    return found


@dataclasses.dataclass(frozen=True)
class Pair:
    name: str
    base: Path
    donor: Path

    @property
    def prompts(self) -> list[Prompt]:
        """LLaVA's kin are asked of pictures that are no squares, which they pad or cut up."""
        return PROMPTS if self.name in ("cogvlm", "cogvlm2", "mplug-owl2") else prompts_with(wide)

    @classmethod
    def write(cls, name: str, root: Path) -> Pair:
        write = authors.AUTHORS[name]
        return cls(name, write(root / "base"), write(root / "donor", seed=1))

    def spec(self, **config: Any) -> EngineSpec:
        plan = plan_merge(open_checkpoint(str(self.base)), open_checkpoint(str(self.donor)), MappingConfig())
        settings = {"kind": "vllm", "max_tokens": authors.TOKENS, "max_model_len": 768, "kv_cache_gb": 0.02, **config}
        return EngineSpec(plan, EngineConfig(**settings))


@pytest.fixture(scope="module", params=[*NAMES, *(pytest.param(name, marks=pytest.mark.slow) for name in ALIKE)])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair.write(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def engine(pair: Pair) -> VllmEngine:
    return start(pair.spec())


def assert_as_theirs(answers: Sequence[Answer], theirs: Sequence[dict[str, Any]]) -> None:
    """The same tokens, all of them, and log-probabilities."""
    for answer, other in zip(answers, theirs, strict=True):
        end = [token for token in other["tokens"] if token != 2]
        assert list(answer.tokens) == end, other["question"]
        assert answer.logprobs == pytest.approx(other["logprobs"], abs=CLOSE)


def test_all_prompts_at_once_with_images_and_without(pair: Pair, engine: VllmEngine) -> None:
    engine.move(Recipe(alpha=0.0))
    assert_as_theirs(engine.generate(pair.prompts), reference(pair.name))
    for prompt, other in zip(pair.prompts, reference(pair.name), strict=True):
        processor, sizes = engine._chat.processor, [image.size for image in prompt.pictures()]
        tokens = engine._chat.tokens(prompt)
        assert [token for token in tokens if token != processor.image_token_id] == other["text_ids"]
        assert tokens.count(processor.image_token_id) == len(prompt.images)
        counted = engine._chat.inputs([prompt])["input_ids"][0].tolist()
        assert counted.count(processor.image_token_id) == sum(processor.tokens_of(*size) for size in sizes)
        assert [token for token in counted if token != processor.image_token_id] == other["text_ids"]


@pytest.mark.parametrize("pair", ["yi-vl", "onevision"], indirect=True)
def test_several_pictures_in_a_prompt(pair: Pair, engine: VllmEngine) -> None:
    engine.move(Recipe(alpha=0.0))
    prompt = Prompt("several", authors.COMPARED, (wide(picture(7)), picture(8)))
    assert_as_theirs(engine.generate([prompt]), reference(pair.name, "several"))


def test_merged_as_the_exported_checkpoint_is_in_their_code(pair: Pair, engine: VllmEngine, tmp_path: Path) -> None:
    """There and back is bit-identical, and vision is computed once."""
    engine.move(Recipe(alpha=0.0))
    before = engine.generate(pair.prompts), engine._llm.collective_rpc("adamms_live_digest")
    encoded = engine.effort.encoded_images
    engine.move(Recipe(alpha=authors.ALPHA))
    assert_as_theirs(engine.generate(pair.prompts), reference(pair.name, "merged"))
    assert engine.effort.encoded_images == encoded
    engine.move(Recipe(alpha=0.0))
    assert (engine.generate(pair.prompts), engine._llm.collective_rpc("adamms_live_digest")) == before

    base, donor = open_checkpoint(str(pair.base)), open_checkpoint(str(pair.donor))
    spec = pair.spec()
    merge_to_disk(PlannedPair(spec.plan, base, (donor,)), Recipe(alpha=authors.ALPHA), tmp_path / "ours")
    authors.write_merged(tmp_path / "theirs", pair.base, pair.donor)
    assert open_checkpoint(str(tmp_path / "ours")).config == base.config
    ours, theirs = (load_file(tmp_path / one / "model.safetensors") for one in ("ours", "theirs"))
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].allclose(tensor, rtol=2**-7, atol=2**-12), name  # one rounding
    exported = dataclasses.replace(pair, base=tmp_path / "ours")
    assert_as_theirs(start(exported.spec()).generate(pair.prompts), reference(pair.name, "merged"))


def test_after_a_hit_of_the_prefix_cache_behind_the_image(pair: Pair, engine: VllmEngine) -> None:
    engine.move(Recipe(alpha=0.0))
    theirs, long = reference(pair.name)[-1:], pair.prompts[-1]
    for cached in (False, True):
        outputs = engine._run([engine._request(long)], [one_token()])
        assert (outputs[0].num_cached_tokens >= 128) is cached
        assert_as_theirs(engine.generate([long]), theirs)


def one_token() -> Any:
    from vllm import SamplingParams

    return SamplingParams(temperature=0.0, max_tokens=1)


@pytest.mark.slow
def test_in_chunks_that_cut_images(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_engine, "DRAFT_CHUNK", 3 if pair.name == "mplug-owl2" else 5)
    assert_as_theirs(start(pair.spec()).generate(pair.prompts), reference(pair.name))


def test_drafts(pair: Pair, engine: VllmEngine) -> None:
    """The neighbour's answers, its own, and wrong ones."""
    engine.move(Recipe(alpha=0.38))
    neighbour = {answer.prompt_id: answer.tokens for answer in engine.generate(pair.prompts)}
    engine.move(Recipe(alpha=authors.ALPHA))
    own = {answer.prompt_id: answer.tokens for answer in engine.generate(pair.prompts)}
    for drafts in (neighbour, own, {prompt.id: (7, 7, 7) for prompt in pair.prompts}):
        engine._llm.reset_prefix_cache()
        before = engine.effort
        assert_as_theirs(engine.generate(pair.prompts, drafts), reference(pair.name, "merged"))
        if drafts is own:
            assert (engine.effort - before).drafted_tokens > 0


@pytest.mark.slow
def test_two_ranks_answer_as_one(pair: Pair) -> None:
    with started(pair.spec(tensor_parallel_size=2)) as both:
        assert_as_theirs(both.generate(pair.prompts), reference(pair.name))
        both.move(Recipe(alpha=authors.ALPHA))
        assert_as_theirs(both.generate(pair.prompts), reference(pair.name, "merged"))
        both.move(Recipe(alpha=0.0))
        assert_as_theirs(both.generate(pair.prompts), reference(pair.name))
