"""The shipped pair, answered by two engines that share no code but ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adamms.runs.responses import read_responses
from tests.pipelines.test_search import SEARCH, run
from tests.support.shipped_pair import ONE_TASK

FAIR = ["engine.dtype=float32", "engine.kv_cache_gb=0.5", "engine.max_model_len=1024", "prompts.n=50"]


def search(kind: str, folder: Path) -> tuple[dict[str, Any], Any]:
    done = run([*SEARCH, *ONE_TASK, f"engine.kind={kind}", f"run_dir={folder}", *FAIR, "tracking.enabled=false"])
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "selection.json").read_text()), read_responses(folder / "responses")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_vllm_and_transformers_choose_the_same_alpha(tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    chosen, answers = search("transformers", tmp_path / "transformers")
    theirs, others = search("vllm", tmp_path / "vllm")
    assert theirs["alpha"] == chosen["alpha"]
    differing = sum(others[alpha][name] != text for alpha, given in answers.items() for name, text in given.items())
    assert differing <= 3, "the same arithmetic in another order: near ties may fall differently, nothing else"
