"""The GPU benchmark on a CPU at tiny shapes, so that it works the first time that a GPU is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ABSENT = ("ray", "vllm", "mlflow", "omegaconf", "datasets", "pyarrow", "rapidfuzz", "typer", "rich")
WITHOUT = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({ABSENT}))  # whoever imports one of these fails
runpy.run_module("tests.benchmarks.bench_gpu", run_name="__main__")
"""


def bench(tmp_path: Path, *arguments: str, start: tuple[str, ...] = ("-m", "tests.benchmarks.bench_gpu")) -> str:
    command = [sys.executable, *start, "--size", "tiny", "--device", "cpu", "--write", str(tmp_path), *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def figures(text: str) -> dict[str, str]:
    rows = re.findall(r"^\| (.+?) \| (.*?) \| .*? ?\|$", text, re.MULTILINE)
    return dict(rows)


def test_moves_need_neither_ray_nor_vllm_nor_mlflow(tmp_path: Path) -> None:
    printed = bench(tmp_path, "--part", "1", start=("-c", WITHOUT))
    found = figures(printed)
    assert found["A -> B -> A is bit-identical, and B is not A"] == "yes"
    assert re.fullmatch(r"\d+ ?%", found["bandwidth of a move / of a copy"])
    assert float(found["by a device copy"].removesuffix(" GB/s")) > 0
    written = (tmp_path / "gpu-1.md").read_text(encoding="utf-8")
    assert figures(written) == found
    assert "Machine: " in written
    assert "torch " in written


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_search_from_load_to_choice(tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    found = figures(bench(tmp_path, "--part", "2", "--n", "6"))
    assert found["live weights of vLLM: A -> B -> A is bit-identical, and B is not A"] == "yes"
    assert found["both searches merged the same weights"] == "yes"
    assert found["answers that differ after A -> B -> A"] == "0 of 6"
    assert found["answers that differ with drafts and without"] == "0 of 42"
    decoded = [int(found[f"drafts {way}: tokens decoded"]) for way in ("on", "off")]
    assert 0 < decoded[0] < decoded[1]
    for name in ("drafts on: from load to choice", "drafts off: answering", "peak memory", "its estimate", "a move"):
        assert float(found[name].split()[0]) > 0, name
    assert figures((tmp_path / "gpu-2.md").read_text(encoding="utf-8")) == found
