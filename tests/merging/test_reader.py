"""Reading through buffers that are used again, and leaving the page cache as it was."""

from __future__ import annotations

import gc
import os
import shutil
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from adamms.checkpoint import Checkpoint
from adamms.merging import reader
from adamms.merging.reader import Reader
from adamms.support import system

LENGTHS = {"a": 40_000, "b": 3, "c": 90_001}
PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    (folder / "config.json").write_text('{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}')
    tensors = {name: torch.randn(length) for name, length in LENGTHS.items()}
    save_file(tensors, folder / "model.safetensors")
    with (folder / "model.safetensors").open("rb") as file:
        os.fsync(file.fileno())  # pages that wait to be written are not taken out
    return Checkpoint(folder), tensors


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_any_order_of_reads_gives_the_weights(weights, data):
    checkpoint, tensors = weights
    reading = Reader(checkpoint, last=data.draw(st.booleans()))
    for name in data.draw(st.lists(st.sampled_from(list(LENGTHS)), min_size=1, max_size=8)):
        start, stop = sorted(data.draw(st.tuples(*[st.integers(0, LENGTHS[name])] * 2)))
        for first, last in ((start, stop), (stop, LENGTHS[name])):  # twice in a row, then a jump
            assert torch.equal(reading.read(name, first, last), tensors[name][first:last])


@pytest.fixture
def short_sequences(monkeypatch):
    """Pages are dropped a few at a time instead of many megabytes."""
    for name, pages in (("_DROP_BYTES", 8), ("_READ_AHEAD", 4), ("_PROBE_BYTES", 16)):
        monkeypatch.setattr(reader, name, pages * PAGE)


@pytest.mark.usefixtures("short_sequences")
@pytest.mark.parametrize("in_memory_before", [False, True])
def test_the_page_cache_is_left_as_it_was(weights, in_memory_before):
    checkpoint, _ = weights
    path = checkpoint.folder / "model.safetensors"
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        size = path.stat().st_size
        if system.mostly_cached(file.fileno(), 0, size):
            pytest.skip("this file system keeps files in memory")
        if in_memory_before:
            file.read()
        if system.mostly_cached(file.fileno(), 0, size) != in_memory_before:
            pytest.skip("this kernel does not tell what is in memory")
        reading = Reader(checkpoint, last=True)
        for name, length in LENGTHS.items():
            for start in range(0, length, PAGE // 4):
                reading.read(name, start, min(start + PAGE // 4, length))
        del reading
        assert system.mostly_cached(file.fileno(), 0, size) == in_memory_before


def test_a_file_that_is_not_there_is_one_error(weights, tmp_path, monkeypatch):
    """Nothing more is said when what was to read it is forgotten."""
    folder, ignored = shutil.copytree(weights[0].folder, tmp_path / "m"), []
    checkpoint = Checkpoint(folder)
    assert set(checkpoint.tensors) == set(LENGTHS)
    (folder / "model.safetensors").unlink()
    monkeypatch.setattr(sys, "unraisablehook", lambda error: ignored.append(error.exc_value))
    with pytest.raises(FileNotFoundError) as found:
        Reader(checkpoint).read("a")
    del found
    gc.collect()
    assert not ignored
