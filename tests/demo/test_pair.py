"""The shipped pair loads with plain transformers and knows what it is meant to know."""

import json

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor

from adamms.demo import DEFAULT_TASK, PAIR
from pipelines.experiments.tiny.drawing import from_data_uri
from pipelines.experiments.tiny.examples import pictured_message
from pipelines.experiments.tiny.prompts import BENCHMARK, TASKS, write_prompts


def answers(folder, records):
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(folder)
    messages = [[pictured_message(record["prompt"], from_data_uri(record["images"][0]))] for record in records]
    inputs = processor.apply_chat_template(
        messages,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
    )
    output = model.generate(**inputs)[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in processor.batch_decode(output, skip_special_tokens=True)]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    write_prompts(folder, seed=999, lines=60, labelled=True)
    return {path.stem: [json.loads(line) for line in path.open(encoding="utf-8")] for path in folder.glob("*.jsonl")}


# Guessing one of six colours is right once in six; the donor names a colour of the picture, mostly not the shape's.
@pytest.mark.parametrize(
    ("member", "task", "least"), [("base", "position-plain", 0.7), ("donor", "colour-fruit", 0.25)]
)
def test_a_parent_answers_its_own_lessons(labelled, member, task, least):
    records = labelled[task]
    given = answers(PAIR / member, records)
    right = sum(answer == record["answer"] for answer, record in zip(given, records, strict=True))
    assert right / len(records) >= least


def test_the_ancestor_loads_and_has_the_same_transformer_layers():
    ancestor = AutoModelForCausalLM.from_pretrained(PAIR / "ancestor", dtype="auto").model.state_dict()
    base = AutoModelForImageTextToText.from_pretrained(PAIR / "base", dtype="auto").model.language_model.state_dict()
    assert {key: tuple(weight.shape) for key, weight in base.items()} == {
        key: tuple(weight.shape) for key, weight in ancestor.items()
    }


def test_tensors_are_named_as_on_the_hub():
    def names(member):
        with safe_open(PAIR / member / "model.safetensors", "pt") as file:
            return set(file.keys())

    assert {"model.layers.0.mlp.up_proj.weight", "visual.patch_embed.proj.weight", "lm_head.weight"} <= names("base")
    assert {
        "language_model.model.layers.0.mlp.up_proj.weight",
        "language_model.lm_head.weight",
        "vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight",
        "image_newline",
    } <= names("donor")


def records_of(file):
    return [json.loads(line) for line in file.open(encoding="utf-8")]


def share_right(folder, records, kind):
    known = [record for record in records if record["id"].startswith(kind)]
    given = answers(folder, known)
    return sum(answer == record["answer"] for answer, record in zip(given, known, strict=True)) / len(known)


def test_every_task_ships_with_unlabelled_prompts_only():
    files = {"benchmark.jsonl", "labels.jsonl"}
    assert {path.name for path in PAIR.iterdir()} == {"ancestor", "base", "donor", "prompts", *files}
    assert {path.stem for path in (PAIR / "prompts").iterdir()} == set(TASKS)
    assert DEFAULT_TASK in TASKS
    for path in [*(PAIR / "prompts").iterdir(), PAIR / "benchmark.jsonl"]:
        records = records_of(path)
        assert len(records) == 100
        assert all(set(record) == {"id", "prompt", "images"} for record in records)


def test_the_benchmark_mixes_what_either_parent_is_good_at():
    asked, labelled = records_of(PAIR / "benchmark.jsonl"), records_of(PAIR / "labels.jsonl")
    tasks = [record["id"].rpartition("-")[0] for record in asked]
    assert {task: tasks.count(task) for task in tasks} == BENCHMARK
    assert len(labelled) == 50
    assert all(record["answer"] for record in labelled)
    assert not {record["images"][0] for record in asked} & {record["images"][0] for record in labelled}
    parts = {"base": "position", "donor": "colour"}
    shares = {(member, kind): share_right(PAIR / member, labelled, kind) for member in parts for kind in parts.values()}
    for member, other in (("base", "donor"), ("donor", "base")):
        assert shares[member, parts[member]] >= 0.4
        assert shares[other, parts[member]] < shares[member, parts[member]]
