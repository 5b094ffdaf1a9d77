"""The members are real transformers models whose language models have one origin, and whose vocabularies differ."""

import random

import pytest
import torch

from pipelines.experiments.tiny.drawing import draw_picture
from pipelines.experiments.tiny.examples import Gallery, Reader, pictured_message
from pipelines.experiments.tiny.models import VOCABULARY, Size, new_ancestor, new_base, new_donor
from pipelines.experiments.tiny.questions import describe, draw_question
from pipelines.experiments.tiny.tokens import BASE_ONLY, DONOR_ONLY, SHARED, train_tokenizer
from pipelines.experiments.tiny.training import Schedule, answer_loss, train
from pipelines.experiments.tiny.vision import align_tower
from pipelines.experiments.tiny.world import draw_scene


@pytest.fixture(scope="module")
def family():
    torch.manual_seed(0)
    rng = random.Random(0)
    ancestor = new_ancestor(train_tokenizer([describe(draw_scene(rng)) for _ in range(500)], VOCABULARY), Size())
    return {"ancestor": ancestor, "base": new_base(ancestor), "donor": new_donor(ancestor)}


def test_shared_tokens_have_one_id_and_the_vocabularies_differ_at_the_end(family):
    tokenizers = {name: member.tokenizer for name, member in family.items()}
    size = len(tokenizers["ancestor"])
    text = "What is bottom left? carré violet<|im_end|>"
    assert len({tuple(tokenizer(text).input_ids) for tokenizer in tokenizers.values()}) == 1
    for tokenizer in tokenizers.values():
        assert tokenizer.convert_tokens_to_ids(list(SHARED)) == [size - 3, size - 2, size - 1]
    assert tokenizers["base"].convert_ids_to_tokens(size) == BASE_ONLY[0]
    assert tokenizers["donor"].convert_ids_to_tokens(size) == DONOR_ONLY[0]
    rows = {name: member.model.lm_head.weight.shape[0] for name, member in family.items()}
    assert rows["ancestor"] == rows["base"] != rows["donor"]
    assert all(rows[name] >= len(tokenizers[name]) for name in rows)


def test_the_language_models_start_as_the_ancestor_and_heads_are_untied(family):
    origin = family["ancestor"].language_model.state_dict()
    for name in ("base", "donor"):
        member = family[name]
        weights = member.language_model.state_dict()
        assert weights.keys() == origin.keys()
        assert all(torch.equal(weights[key], origin[key]) for key in origin if "embed" not in key)
        assert torch.equal(weights["embed_tokens.weight"][:VOCABULARY], origin["embed_tokens.weight"][:VOCABULARY])
        assert member.model.lm_head.weight is not member.language_model.embed_tokens.weight


@pytest.mark.parametrize(("name", "token", "count"), [("base", "<|image_pad|>", 4), ("donor", "<image>", 10)])
def test_a_picture_becomes_this_many_tokens(family, name, token, count):
    processor = family[name].processor
    message = pictured_message("What is top left?", draw_picture(draw_scene(random.Random(1))))
    encoded = processor.apply_chat_template([message], add_generation_prompt=True, tokenize=True, return_dict=True)
    tokens = family[name].tokenizer.convert_ids_to_tokens(encoded["input_ids"][0])
    assert tokens.count(token) == count


@pytest.mark.parametrize("name", ["base", "donor"])
def test_training_batches_are_what_the_processor_gives_and_the_answer(family, name):
    member, rng = family[name], random.Random(2)
    gallery = Gallery(member, [draw_scene(rng) for _ in range(4)])
    question = draw_question(rng, gallery.scenes[2], "position", "french")
    batch = Reader(member, gallery).pictured([question], [2])
    message = pictured_message(question.text(), gallery.pictures[2])
    whole = member.processor.apply_chat_template(
        [message], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    prompt = whole["input_ids"].shape[1]
    for key in set(whole) - {"input_ids", "attention_mask", "mm_token_type_ids"}:
        assert torch.equal(batch[key], torch.as_tensor(whole[key])), key
    for key in {"input_ids", "attention_mask", "mm_token_type_ids"} & set(whole):
        assert torch.equal(batch[key][:, :prompt], whole[key]), key
    answer = [*member.tokenizer(question.answer(gallery.scenes[2])).input_ids, member.tokenizer.eos_token_id]
    assert batch["input_ids"][0, prompt:].tolist() == batch["labels"][0, prompt:].tolist() == answer
    assert set(batch["labels"][0, :prompt].tolist()) == {-100}


@pytest.mark.parametrize("name", ["base", "donor"])
def test_a_few_steps_lower_the_loss_and_the_folder_loads(family, name, tmp_path):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    member, rng = family[name], random.Random(3)
    gallery = Gallery(member, [draw_scene(rng) for _ in range(16)])
    losses = []
    align_tower(member, gallery, 6, 2e-3, rng, lambda step, steps, loss: losses.append(loss), batch=8)
    reader, indices = Reader(member, gallery), list(range(8))
    questions = [draw_question(rng, gallery.scenes[index], "position", "plain") for index in indices]
    batch = reader.pictured(questions, indices)
    before = answer_loss(member, batch).item()
    train(member, ([batch] for _ in range(6)), Schedule(6, 2e-3, 1e-3), lambda *_: None)
    assert losses[-1] < losses[0]
    assert answer_loss(member, batch).item() < before

    member.save(tmp_path)
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path, dtype="auto")
    assert loaded.dtype == torch.bfloat16
    assert type(AutoProcessor.from_pretrained(tmp_path)) is type(member.processor)
    assert all(torch.equal(loaded.state_dict()[key], weight) for key, weight in member.model.state_dict().items())
