from __future__ import annotations

import base64
import io
import json
import logging
import os
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from adamms.errors import UserError
from adamms.prompts.config import PromptsConfig
from adamms.prompts.labels import Label, load_labelled, read_labels
from adamms.prompts.prompt import Prompt, load_prompts
from adamms.prompts.tasks import load_tasks
from tests.support.tiny_models import picture


def load(path: Path | str, **config: Any) -> list[Prompt]:
    return load_prompts(PromptsConfig(path=str(path), **config))


def jsonl(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def decoded(image: Image.Image) -> list[Any]:
    return list(image.convert("RGB").getdata())


ROWS = [{"id": f"r{i}", "prompt": f"question {i}", "label": "never read"} for i in range(20)]


def test_a_larger_draw_holds_the_smaller_one_in_file_order(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "p.jsonl", *ROWS)
    few, many = load(path, n=5), load(path, n=12)
    assert set(few) < set(many)
    assert [prompt.id for prompt in many] == sorted((p.id for p in many), key=lambda name: int(name[1:]))
    assert load(path, n=5, seed=1) != few
    assert load(jsonl(tmp_path / "q.jsonl", *reversed(ROWS)), n=5) == few[::-1]
    assert len(load(path, n=100)) == 20


def test_every_way_to_give_an_image_gives_the_same_bytes(tmp_path: Path) -> None:
    png = picture(1)
    (tmp_path / "a.png").write_bytes(png)
    uri = "data:image/png;base64," + base64.b64encode(png).decode()
    url = "memory://adamms/a.png"
    import fsspec

    with fsspec.open(url, "wb") as file:
        file.write(png)
    ways = ["a.png", str(tmp_path / "a.png"), uri, url, (tmp_path / "a.png").as_uri(), {"path": "a.png", "bytes": None}]
    path = jsonl(tmp_path / "p.jsonl", *({"prompt": "?", "images": way} for way in ways))
    assert [prompt.images for prompt in load(path)] == [(png,)] * len(ways)
    both = load(jsonl(tmp_path / "q.jsonl", {"question": "?", "image": "a.png", "images": ["a.png", uri]}))
    assert both[0].images == (png, png, png)


def test_parquet_reads_bytes_and_takes_only_what_is_drawn(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    rows = {"question": [f"q{i}" for i in range(6)], "image": [{"bytes": picture(i), "path": None} for i in range(6)]}
    pyarrow.parquet.write_table(pa.table(rows), tmp_path / "p.parquet")
    prompts = load(tmp_path / "p.parquet", n=3, suffix=" Briefly.")
    assert len(prompts) == 3
    for prompt in prompts:
        assert prompt.images == (picture(int(prompt.id) - 1),)
        assert prompt.text == f"q{int(prompt.id) - 1} Briefly."
    assert load(tmp_path, n=3, suffix=" Briefly.") == prompts, "a folder of Parquet files"


def test_the_split_of_a_folder_of_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    names = ("train-00000-of-00001", "test-00001-of-00002", "test-00000-of-00002", "testing", "odd/x", "plain", "_old")
    (tmp_path / "odd").mkdir()
    for name in names:
        pyarrow.parquet.write_table(pa.table({"prompt": [name]}), tmp_path / f"{name}.parquet")
    (tmp_path / "README.md").write_text("no Parquet")
    (tmp_path / "odd" / ".x.parquet").write_text("what macOS leaves")

    def texts(place: Path = tmp_path, **config: Any) -> list[str]:
        return [prompt.text for prompt in load(place, **config)]

    assert texts() == [name for name in sorted(names) if name != "_old"], "all of them"
    assert texts(split="test") == ["test-00000-of-00002", "test-00001-of-00002"]
    assert texts(split="plain") == texts(tmp_path / "plain.parquet", split="plain") == ["plain"]
    assert texts(split="odd") == ["odd/x"]
    for place in (tmp_path, tmp_path / "plain.parquet"):
        with pytest.raises(UserError, match=r"no file is named after prompts.split=validation, .* \(found .*plain"):
            load(place, split="validation")
    with pytest.raises(UserError, match=r"prompts\.subset=en cannot be chosen, since Parquet has none; leave that out"):
        load(tmp_path, subset="en")


def test_a_choice_that_a_source_does_not_have_is_refused(tmp_path: Path) -> None:
    from datasets import Dataset

    path = jsonl(tmp_path / "p.jsonl", {"prompt": "?", "answer": "1"})
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(picture(0))
    Dataset.from_dict({"prompt": ["one"]}).save_to_disk(tmp_path / "saved")
    for place in (path, tmp_path / "pictures", tmp_path / "saved"):
        for choice in ({"split": "test"}, {"subset": "en"}):
            with pytest.raises(
                UserError, match=r"prompts\.(split=test|subset=en) cannot be chosen, since .*; leave that"
            ):
                load(place, question="?", **choice)
    asked = PromptsConfig(tasks={"a": str(path), "b": str(tmp_path / "saved")}, split="test")
    assert list(load_tasks(asked)) == ["a", "b"], "another task may have it"
    Dataset.from_dict({"prompt": ["one"]}).to_parquet(tmp_path / "vqa.parquet")
    asked = PromptsConfig(tasks={"a": str(path), "vqa": str(tmp_path / "vqa.parquet")}, split="test")
    assert list(load_tasks(asked)) == ["a", "vqa"]
    labelled = load_labelled(str(path), PromptsConfig(path="owner/name", split="test", subset="en"))
    assert labelled.labels == {"1": Label(("1",))}, "the choice is of the prompts beside them"


def test_a_saved_dataset_with_decoded_images_and_splits(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict, Features, Value
    from datasets import Image as ImageFeature

    rows = {
        "id": ["a", "b"],
        "query": ["one", "two"],
        "image_1": [picture(0), picture(1)],
        "image_2": [None, picture(2)],
    }
    features = Features(
        id=Value("string"),
        query=Value("string"),
        image_1=ImageFeature(),
        image_2=ImageFeature(),
        answer=Value("string"),
    )
    dataset = Dataset.from_dict({**rows, "answer": ["x", "y"]}, features=features)
    dataset.save_to_disk(tmp_path / "one")
    fields = {"text_field": "query", "images_field": "image_1, image_2"}
    prompts = load(tmp_path / "one", **fields)
    assert [(p.id, p.text, p.images) for p in prompts] == [
        ("a", "one", (picture(0),)),
        ("b", "two", (picture(1), picture(2))),
    ]
    DatasetDict({"train": dataset, "odd": dataset.select([0])}).save_to_disk(tmp_path / "splits")
    assert load(tmp_path / "splits", **fields) == prompts, "train is taken by itself"
    assert len(load(tmp_path / "splits", split="odd", **fields)) == 1
    with pytest.raises(UserError, match=r"train, odd.*prompts.split="):
        load(tmp_path / "splits", split="nope", **fields)


def test_a_folder_of_images_with_a_question(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "b.png").write_bytes(picture(0))
    (tmp_path / "deep" / "a.JPG").write_bytes(picture(1))
    (tmp_path / "notes.txt").write_text("no image")
    prompts = load(tmp_path, question="What is it?")
    assert [(p.id, p.text) for p in prompts] == [("b.png", "What is it?"), ("deep/a.JPG", "What is it?")]
    assert prompts[1].images == (picture(1),)
    with pytest.raises(UserError, match=r"prompts\.question"):
        load(tmp_path)


def test_pictures_are_rgb() -> None:
    out = io.BytesIO()
    Image.new("LA", (3, 2), (7, 100)).save(out, "PNG")
    [image] = Prompt("a", "?", (out.getvalue(),)).pictures()
    assert (image.mode, image.size) == ("RGB", (3, 2))


def test_everything_broken_is_reported_together_or_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    (tmp_path / "good.png").write_bytes(picture(0))
    path = jsonl(
        tmp_path / "p.jsonl",
        {"id": "1", "prompt": "?", "images": "missing.png"},
        {"id": "2", "prompt": "?", "images": ["good.png", "bad.png"]},
        {"id": "3", "prompt": "?", "images": [3]},
        *({"id": str(i), "prompt": "?", "images": "good.png"} for i in range(4, 9)),
    )
    with pytest.raises(UserError) as error:
        load(path)
    assert all(f"line {line}" in str(error.value) for line in (1, 2, 3))
    assert "line 4" not in str(error.value)
    assert "\n" not in str(error.value)
    with caplog.at_level(logging.WARNING):
        assert [p.id for p in load(path, on_error="skip", n=5)] == ["4", "5", "6", "7", "8"]
    assert "left out" in caplog.text
    lines = jsonl(
        tmp_path / "l.jsonl", {"prompt": ""}, {"text": "?"}, [1], {"prompt": "?", "id": "2"}, {"prompt": "!", "id": 2}
    )
    with pytest.raises(UserError, match=r"line 1: .*line 2: .*line 3: .*line 5: id '2' is that of line 4"):
        load(lines)
    assert len(load(lines, on_error="skip")) == 1


def test_a_line_ends_only_where_jsonl_says(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    rows = [{"prompt": "one\u2028two\x85three", "answer": "1"}, {"prompt": "four", "answer": "2"}]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    prompts = load(path)
    assert [(prompt.id, prompt.text) for prompt in prompts] == [("1", "one\u2028two\x85three"), ("2", "four")]
    assert read_labels(path, prompts) == {"1": Label(("1",)), "2": Label(("2",))}


def test_lone_surrogates_are_told_at_the_door(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = {"prompt": "half \ud800"}, {"prompt": "?", "id": "\udfff"}, {"prompt": "good 😀"}
    path = jsonl(tmp_path / "p.jsonl", *rows)
    with pytest.raises(UserError, match=r"line 1: holds half of a surrogate pair.*line 2: holds half"):
        load(path)
    (kept,) = load(path, on_error="skip")
    assert kept.text == "good 😀"
    with pytest.raises(UserError, match=r"prompts\.suffix: holds half"):
        load(path, on_error="skip", suffix="\ud800")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / os.fsdecode(b"\xff.png")).write_bytes(picture(0))
    with pytest.raises(UserError, match="its name is not UTF-8"):
        load(tmp_path / "pictures", question="?")


def bomb(size: int = 20_000) -> bytes:
    """A PNG of a few bytes that says that it holds 400 million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">II5B", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_whatever_is_broken_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "bomb.png").write_bytes(bomb())
    (tmp_path / "good.png").write_bytes(picture(0))
    (tmp_path / "script.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n")
    (tmp_path / "cut.png").write_bytes(picture(0)[:-30])
    os.mkfifo(tmp_path / "pipe.png")
    with (tmp_path / "huge.png").open("wb") as file:
        os.truncate(file.fileno(), 1 << 40)
    images: list[Any] = [
        *("bomb.png", "script.eps", "cut.png", "pipe.png", "huge.png", "/dev/zero", (tmp_path / "pipe.png").as_uri()),
        *("~nosuch/x", "nul\0", "x" * 300, "data:,", "data:image/png;base64,é", "data:image/png;base64,AAA"),
        *("s3://bucket/x.png", "sftp://host/x.png", "gibberish://x", "zip://x", "reference://x"),
        "http://127.0.0.1:9/x",
        *({"path": {"path": "good.png"}}, {}, [["good.png"]], 3, True, "", "."),
    ]
    rows = [{"id": f"bad {i}", "prompt": "?", "images": [image]} for i, image in enumerate(images)]
    path = jsonl(tmp_path / "p.jsonl", *rows, {"id": "good", "prompt": "?", "images": "good.png"})
    with path.open("a") as file:
        file.write("[" * 5000 + "\n{\n" + '{"prompt": ' + "9" * 5000 + "}\n")
    started = time.perf_counter()
    assert [prompt.id for prompt in load(path, on_error="skip")] == ["good"]
    assert time.perf_counter() - started < 10
    with pytest.raises(UserError, match="400000000 pixels"):
        load(jsonl(tmp_path / "q.jsonl", rows[0]))
    secret = jsonl(tmp_path / "s.jsonl", {"prompt": "?", "images": "http://" + "me" * 30 + ":s3cr3t@127.0.0.1:9/x"})
    with pytest.raises(UserError) as error:
        load(secret)
    assert "s3cr" not in str(error.value)


@pytest.mark.parametrize(
    "image",
    ["reference://x.png::memory://evil/refs.json", "zip://x.png::memory://x.zip", "simplecache::memory://x.png"],
)
def test_a_picture_is_at_one_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str) -> None:
    """A file of prompts may come from anybody: it does not choose what else is read on the way."""
    import fsspec

    def asked(*_: Any) -> Any:
        raise AssertionError("an address was asked")

    monkeypatch.setattr(fsspec.core, "url_to_fs", asked)
    with pytest.raises(UserError, match="a chain of addresses"):
        load(jsonl(tmp_path / "p.jsonl", {"prompt": "?", "images": image}))
    with pytest.raises(UserError, match="reference:// is not read; http, https, s3"):
        load(jsonl(tmp_path / "p.jsonl", {"prompt": "?", "images": "reference://x"}))


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "one", "answer": "1"}\n{"prompt": "two", "id": null, "answer": "2"}\n', "utf-8-sig")
    prompts = load(path)
    assert [(prompt.id, prompt.text) for prompt in prompts] == [("1", "one"), ("2", "two")]
    assert read_labels(path, prompts) == {"1": Label(("1",)), "2": Label(("2",))}


def test_labels_of_prompts_that_were_left_out_are_not_asked_for(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "p.jsonl", {"prompt": "?", "answer": "1"}, [1])
    with path.open("a") as file:
        file.write("{\n" + "[" * 5000)
    assert read_labels(path, load(path, on_error="skip")) == {"1": Label(("1",))}


@pytest.mark.parametrize("name", ["lmms-lab/MMBench_v1.1", "squad.v2", "owner/name@v1.0", "imdb"])
def test_a_data_set_on_the_hub_may_have_a_dot(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    import datasets

    asked = []

    def found(path: str, subset: str | None, revision: str | None) -> Any:
        asked.append((path, revision))
        return datasets.Dataset.from_dict({"prompt": ["one"]})

    monkeypatch.setattr(datasets, "load_dataset", found)
    assert [prompt.text for prompt in load(name)] == ["one"]
    repository, _, revision = name.partition("@")
    assert asked == [(repository, revision or None)]


@pytest.mark.parametrize("path", ["", "nowhere.jsonl", "./nowhere", "/no/where", "a/b/c", "a.jsonl", "x" * 300 + "/.x"])
def test_no_source_is_said_in_one_line(path: str) -> None:
    with pytest.raises(UserError, match="expected JSONL"):
        load(path)


def test_the_digest_covers_all_that_is_asked() -> None:
    prompts = [
        Prompt("a", "?"),
        Prompt("a", "!"),
        Prompt("a", "?", (b"1",)),
        Prompt("a", "?", (b"1", b"2")),
        Prompt("a", "?", (b"2", b"1")),
        Prompt("a", "?", (), "Be brief."),
        Prompt("a", "?", (b"1",), "Be brief."),
    ]
    assert len({prompt.digest for prompt in prompts}) == len(prompts)
    assert Prompt("b", "?").digest == prompts[0].digest


def test_a_hundred_prompts_are_drawn_unless_told_otherwise() -> None:
    assert PromptsConfig().n == 100
