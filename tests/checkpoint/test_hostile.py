"""Broken and hostile checkpoints give one clear line, and nothing is written."""

from __future__ import annotations

import json
import os
import resource
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.errors import UserError
from adamms.mapping import plan_merge
from adamms.mapping.config import MappingConfig
from tests.support import checkpoints as c


def safetensors(header: Any, data: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def folder(path: Path, **files: bytes | str) -> Path:
    path.mkdir(exist_ok=True)
    for name, content in {"config__json": "{}", **files}.items():
        data = content.encode() if isinstance(content, str) else content
        (path / name.replace("__", ".")).write_bytes(data)
    return path


def refused(path: Path, words: str) -> None:
    before = sorted(path.rglob("*"))
    with pytest.raises(UserError, match=words) as found:
        open_checkpoint(str(path))
    assert "\n" not in str(found.value)
    assert str(path) in str(found.value)
    assert sorted(path.rglob("*")) == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a whole safetensors file"),
        (b"1234", "not a whole safetensors file"),
        (struct.pack("<Q", 10_000_000_000) + b"{}", "a header of 10000000000 bytes in a file of 10"),
        (struct.pack("<Q", 2**63) + b"{}", "not a whole safetensors file"),
        (safetensors(b"{{"), "not valid JSON"),
        (safetensors(b"\xff\xfe{}"), "not valid JSON"),
        (safetensors(b"[" * 50_000), "not valid JSON"),
        (safetensors([1]), "not a JSON object"),
        (safetensors(b'{"a": {"dtype": "F32"}, "a": {}}'), "'a' appears twice"),
        (safetensors({"a": 3}), "'a': its entry is not an object"),
        (safetensors({"a": {}}), "'a': 'dtype'"),
        (safetensors({"a": entry("F31")}, bytes(8)), "unknown dtype 'F31'"),
        (safetensors({"a": entry([])}, bytes(8)), "unknown dtype"),
        (safetensors({"a": entry(shape=[-2])}, bytes(8)), "is not a list of sizes"),
        (safetensors({"a": entry(shape=[True, 2])}, bytes(8)), "is not a list of sizes"),
        (safetensors({"a": entry(shape=[10**18, 10**18])}, bytes(8)), "more elements than any file"),
        (safetensors({"a": entry(shape=[2**80])}, bytes(8)), "is not a list of sizes"),
        (safetensors({"\ud800": entry()}, bytes(8)), "which no safetensors file can hold"),
        (safetensors({"a": entry(offsets=[0, 8, 9])}, bytes(8)), "are not two positions"),
        (safetensors({"a": entry(offsets=[0.0, 8])}, bytes(8)), "are not two positions"),
        (safetensors({"a": entry(offsets=[-8, 0])}, bytes(8)), "are not two positions"),
        (safetensors({"a": entry(offsets=[0, 4])}, bytes(8)), "4 bytes for F32 .* expected 8"),
        (safetensors({"a": entry()}, bytes(7)), "bytes 0-8 lie outside the file's 7 bytes"),
        (safetensors({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)), "'a' and 'b' overlap"),
    ],
)
def test_headers(tmp_path: Path, content: bytes, words: str) -> None:
    refused(folder(tmp_path / "m", model__safetensors=content), words)


INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("[]", "expected a JSON object"),
        ("{}", "has no `weight_map`"),
        ('{"weight_map": {}}', "has no `weight_map`"),
        ('{"weight_map": [1]}', "has no `weight_map`"),
        ('{"weight_map": {"a": "../other/x.safetensors"}}', "lies outside the folder"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "lies outside the folder"),
        ('{"weight_map": {"a": "x/../../y.safetensors"}}', "lies outside the folder"),
        ('{"weight_map": {"a": 3}}', "shard 3 lies outside"),
        ('{"weight_map": {"a": ["x"]}}', "lies outside the folder"),
        ('{"weight_map": {"a": "gone.safetensors"}}', "missing shard gone.safetensors"),
        ('{"weight_map": {"a": ""}}', "missing shard"),
        ('{"weight_map": {"a": "x\\u0000y"}}', "missing shard"),
        ('{"weight_map": {"a": "\\ud800.safetensors"}}', "missing shard"),
        (json.dumps({"weight_map": {"a": "x" * 300}}), "missing shard"),
        (json.dumps({"weight_map": {str(i): f"{i}.x" for i in range(10_000)}}), r"missing shard .* and 9995 more"),
        ('{"weight_map": {"a": "x\\ny"}}', r"missing shard x\\ny"),
        ('{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}', "'a' appears twice"),
        ('{"weight_map": {"b": "x.safetensors"}}', "1 tensors are not where it says, first 'b'"),
        ('{"weight_map": NaN}', "it holds a NaN"),
    ],
)
def test_indices(tmp_path: Path, index: str, words: str) -> None:
    content = safetensors({"a": entry()}, bytes(8))
    refused(folder(tmp_path / "m", x__safetensors=content, model__safetensors__index__json=index), words)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("", "not readable as JSON"),
        ("[]", "expected a JSON object"),
        ('{"rms_norm_eps": NaN}', "it holds a NaN"),
        ("[" * 50_000, "not readable as JSON"),
        (b"\xff", "not readable as JSON"),
    ],
)
def test_configs(tmp_path: Path, config: str | bytes, words: str) -> None:
    refused(
        folder(tmp_path / "m", config__json=config, model__safetensors=safetensors({"a": entry()}, bytes(8))), words
    )


def test_nothing_there(tmp_path: Path) -> None:
    refused(folder(tmp_path / "m"), "no weights here; expected one of model.safetensors, model.safetensors.index")
    (tmp_path / "m" / "config.json").unlink()
    refused(tmp_path / "m", "config.json: not found; is .* a Hugging Face checkpoint folder")
    for place in (tmp_path / "gone", "./gone", "~/surely-gone", "no spaces please/x", "x" * 300, "a/" + 300 * "x b"):
        with pytest.raises(UserError, match="no such folder, and not a Hub id"):
            open_checkpoint(str(place))


@pytest.mark.parametrize(
    "header",
    [
        b"{" + b",".join(b'"%d": 1' % i for i in range(200_000)) + b', "0": 1}',
        json.dumps({"a": entry(shape=[9 * 10**4000] * 2000)}).encode(),
        json.dumps({"a": entry(shape=[2**62] * 200_000)}).encode(),
        json.dumps({"a": entry(dtype="x" * 10**6, shape=["y" * 10**6])}).encode(),
    ],
    ids=["duplicates", "long numbers", "many numbers", "long texts"],
)
def test_large_headers_are_refused_soon_and_shortly(tmp_path: Path, header: bytes) -> None:
    started = time.process_time()
    with pytest.raises(UserError, match=r"appears twice|shape|dtype") as error:
        open_checkpoint(str(folder(tmp_path / "m", model__safetensors=safetensors(header, bytes(8)))))
    assert time.process_time() - started < 5
    assert len(str(error.value)) < 1000


def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    for name, make in (("pipe", os.mkfifo), ("zero", lambda path: path.symlink_to("/dev/zero"))):
        path = folder(tmp_path / name, model__safetensors=safetensors({"a": entry()}, bytes(8)))
        (path / "config.json").unlink()
        make(path / "config.json")
        refused(path, r"config\.json: cannot be read \(not a regular file\)")


def test_a_file_of_a_senseless_size(tmp_path: Path) -> None:
    path = folder(tmp_path / "m", model__safetensors=safetensors({"a": entry()}, bytes(8)))
    os.truncate(path / "config.json", 1 << 40)  # sparse: takes no room
    refused(path, "1099511627776 bytes, more than")


def test_a_name_that_no_file_can_hold_in_a_pickle_too(tmp_path: Path) -> None:
    for name in ("__metadata__", "half \ud800"):
        path = folder(tmp_path / "m")
        torch.save({name: torch.zeros(2)}, path / "pytorch_model.bin")
        refused(path, "which no safetensors file can hold")


def test_links_as_the_hubs_cache_makes_them_are_followed(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(safetensors({"a": entry()}, bytes(8)))
    path = folder(tmp_path / "m")
    (path / "x.safetensors").symlink_to("../blob")
    (path / INDEX).write_text('{"weight_map": {"a": "x.safetensors"}}')
    assert list(open_checkpoint(str(path)).tensors) == ["a"]


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder(tmp_path / "m", model__safetensors=safetensors({"a": entry()}, bytes(8)))

    checkpoint = Checkpoint(path)

    def denied(self: Path, *args: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\); check the file"):
        _ = checkpoint.tensors


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/adamms-was-here",)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Evil(), "not a torch checkpoint of plain tensors"),
        ([torch.zeros(2)], "holds a list, expected a state dict"),
        ({"a": 3}, "holds no named tensors"),
        ({3: torch.zeros(2)}, "holds no named tensors"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "'a' is no plain tensor .torch.complex64"),
        ({"a": torch.zeros(2, 2).to_sparse()}, "'a' is no plain tensor"),
    ],
)
def test_pickles(tmp_path: Path, value: Any, words: str) -> None:
    path = folder(tmp_path / "m")
    torch.save(value, path / "pytorch_model.bin")
    refused(path, words)
    assert not Path("/tmp/adamms-was-here").exists()


def test_a_pickle_that_is_none(tmp_path: Path) -> None:
    refused(folder(tmp_path / "m", pytorch_model__bin=b"nonsense"), "not a torch checkpoint of plain tensors")


def test_aliased_and_strided_tensors_of_a_pickle(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    path = folder(tmp_path / "m")
    torch.save({"a": whole, "same": whole, "turned": whole.T, "part": whole[1]}, path / "pytorch_model.bin")
    checkpoint = open_checkpoint(str(path))
    torch.testing.assert_close(checkpoint.read("same"), torch.arange(12.0))
    torch.testing.assert_close(checkpoint.read("turned", 3, 6), whole.T.reshape(-1)[3:6])
    torch.testing.assert_close(checkpoint.read("part", 1, 3), torch.tensor([5.0, 6.0]))


def test_a_file_cut_after_it_was_opened(tmp_path: Path) -> None:
    path = folder(tmp_path / "m", model__safetensors=safetensors({"a": entry()}, bytes(8)))
    checkpoint = open_checkpoint(str(path))
    os.truncate(path / "model.safetensors", (path / "model.safetensors").stat().st_size - 4)
    with pytest.raises(UserError, match="ends within tensor 'a'"):
        checkpoint.read("a")


def test_the_command_exits_with_2_and_one_line(tmp_path: Path) -> None:
    path = folder(tmp_path / "m", model__safetensors=struct.pack("<Q", 10_000_000_000) + b"{}")
    output = tmp_path / "out"
    for arguments in (["map"], ["merge", "--alpha", "0.1", "--output", str(output)]):
        command = [sys.executable, "-m", "adamms.cli", arguments[0], str(path), str(path), *arguments[1:]]
        found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert found.returncode == 2
        assert found.stdout == ""
        lines = [line for line in found.stderr.splitlines() if not line.endswith(" ...")]
        assert len(lines) == 1
        assert lines[0].startswith("error: ")
    assert not output.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]


# ---- fuzzing: only ever UserError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@contextmanager
def memory_for(room: int) -> Iterator[None]:
    """A MemoryError, not the machine's out-of-memory killer, where more than so many bytes are taken."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@memory_for(2 << 30)
def survives(path: Path) -> None:
    try:
        checkpoint = open_checkpoint(str(path))
        plan_merge(checkpoint, checkpoint, MappingConfig())
    except UserError as error:
        if "\n" in str(error):
            raise AssertionError(f"more than one line: {error}") from None


@FUZZ
@given(
    st.dictionaries(
        st.sampled_from(["a", "__metadata__", "model.embed_tokens.weight"]) | st.text(max_size=3),
        JSON
        | st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "I8", "x"]) | JSON,
                "shape": st.lists(st.integers(-1, 3), max_size=3) | JSON,
                "data_offsets": st.lists(st.integers(-4, 40), min_size=2, max_size=2) | JSON,
            }
        ),
        max_size=4,
    ),
    st.integers(0, 40),
)
def test_fuzzed_headers(tmp_path: Path, header: Any, size: int) -> None:
    survives(folder(tmp_path / "m", model__safetensors=safetensors(header, bytes(size))))


@FUZZ
@given(st.binary(max_size=60))
def test_fuzzed_bytes(tmp_path: Path, content: bytes) -> None:
    survives(folder(tmp_path / "m", model__safetensors=content))


@FUZZ
@given(
    JSON | st.fixed_dictionaries({"weight_map": st.dictionaries(st.text(max_size=3), JSON | st.just("x.safetensors"))})
)
def test_fuzzed_indices(tmp_path: Path, index: Any) -> None:
    files = {
        "x__safetensors": safetensors({"a": entry()}, bytes(8)),
        "model__safetensors__index__json": json.dumps(index),
    }
    survives(folder(tmp_path / "m", **files))


NUMBERS = st.dictionaries(
    st.sampled_from(
        [*c.GQA.config, "text_config", "rope_scaling", "rope_parameters", "architectures", "tie_word_embeddings"]
    ),
    JSON | st.sampled_from([0, 1, 2, 3, 4, 6, 24, 2**30, 10**40]) | st.just(c.GQA.config),
    max_size=4,
)


@FUZZ
@given(NUMBERS, st.sampled_from(["qwen2", "internlm2", "phi3", "molmo", "cogvlm", "llava", "internvl", None, 3]))
def test_fuzzed_configs(tmp_path: Path, config: dict[str, Any], model_type: Any) -> None:
    survives(model_of_many_names(tmp_path / "m", {"model_type": model_type, **config}))


def model_of_many_names(path: Path, config: dict[str, Any]) -> Path:
    if not path.exists():
        weights = c.language_model()
        named = {
            **c.internlm2_names()(weights, c.GQA),
            **c.phi3_names(weights, c.GQA),
            **c.llama_names()(weights, c.GQA),
        }
        c.write_checkpoint(path, named, {})
    (path / "config.json").write_text(json.dumps({**c.GQA.config, **config}))
    return path


@pytest.mark.parametrize("size", [2**30, 10**40, 10**400, -5])
@pytest.mark.parametrize("model_type", ["qwen2", "phi3", "mixtral", "nobody's"])
def test_senseless_sizes_cost_nothing(tmp_path: Path, model_type: str, size: int) -> None:
    for key in (*c.GQA.config, "num_experts", "num_nextn_predict_layers"):
        survives(model_of_many_names(tmp_path / "m", {"model_type": model_type, key: size}))


def test_a_stack_of_experts_without_a_row(tmp_path: Path) -> None:
    named = c.llama_names()(c.language_model(), c.GQA)
    stack = "model.layers.0.mlp.experts.gate_up_proj"
    named[stack] = torch.zeros(2**40, 0, c.GQA.hidden)
    config = {**c.GQA.config, "model_type": "qwen3_moe", "num_experts": 2**30}
    model = c.write_checkpoint(tmp_path / "m", named, config)
    with memory_for(2 << 30), pytest.raises(UserError, match=rf"'{stack}' .* is no stack of experts"):
        plan_merge(open_checkpoint(str(model)), open_checkpoint(str(model)), MappingConfig())
