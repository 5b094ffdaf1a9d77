"""Prompt files are self-contained, repeatable, and hold no labels; labelled files show other scenes."""

import json

from adamms.demo import DEFAULT_TASK
from pipelines.experiments.tiny.prompts import TASKS, write_prompts


def read(folder):
    return {path.stem: [json.loads(line) for line in path.open(encoding="utf-8")] for path in folder.glob("*.jsonl")}


def test_prompt_files_hold_ids_prompts_and_pictures_and_nothing_else(tmp_path):
    write_prompts(tmp_path, seed=3, lines=5)
    written = read(tmp_path)
    assert set(written) == set(TASKS)
    assert DEFAULT_TASK in TASKS
    assert len(TASKS) >= 7
    for task, records in written.items():
        assert [record["id"] for record in records] == [f"{task}-{number:04}" for number in range(5)]
        assert all(set(record) == {"id", "prompt", "images"} for record in records)
        assert all(image.startswith("data:image/png;base64,") for record in records for image in record["images"])


def test_the_same_seed_writes_the_same_files(tmp_path):
    for folder in ("one", "two"):
        write_prompts(tmp_path / folder, seed=3, lines=4)
        write_prompts(tmp_path / folder / "labelled", seed=3, lines=4, labelled=True)
    assert read(tmp_path / "one") == read(tmp_path / "two")
    assert read(tmp_path / "one" / "labelled") == read(tmp_path / "two" / "labelled")


def test_labelled_lines_have_answers_and_share_no_picture_with_the_prompts(tmp_path):
    write_prompts(tmp_path / "prompts", seed=3, lines=20)
    write_prompts(tmp_path / "labelled", seed=3, lines=20, labelled=True)
    unlabelled, labelled = read(tmp_path / "prompts"), read(tmp_path / "labelled")
    assert all(record["answer"].strip() for records in labelled.values() for record in records)

    def pictures(written):
        return {image for records in written.values() for record in records for image in record["images"]}

    assert pictures(unlabelled).isdisjoint(pictures(labelled))
