"""Fixtures that many tests share: models are made once a session."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from PIL import Image

from adamms.support import progress
from tests.support.real_shapes import write_real_pair
from tests.support.tiny_models import MAKERS, TinyPair, write_tiny_pair

settings.register_profile("adamms", deadline=None)  # a shared machine has slow moments
settings.load_profile("adamms")
progress.PATIENCE = 60.0  # tests look for one line on stderr, however slow the machine is; tests of it set their own
ROOT = str(Path(__file__).parents[1])
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))  # for Ray's workers
os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # one mode for all clusters that this process starts
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test never waits for a hub
os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # the default is too short for a busy machine
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(scope="session")
def tiny_pair(tmp_path_factory: pytest.TempPathFactory) -> TinyPair:
    """A random Qwen2-VL base and LLaVA-OneVision donor, grown from one Qwen2."""
    return write_tiny_pair(tmp_path_factory.mktemp("tiny_pair"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A model's folder by its name in `MAKERS`, written on first use."""
    root = tmp_path_factory.mktemp("tiny")

    def folder(name: str) -> Path:
        if not (root / name).exists():
            MAKERS[name](root / name)
        return root / name

    return folder


@pytest.fixture(scope="session")
def real_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A random pair with the shapes of models of half a billion parameters, for slow tests: 4 GB."""
    return write_real_pair(tmp_path_factory.mktemp("real_pair"), "0.5b")


@pytest.fixture(scope="session")
def prompt_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve prompts with one small image each, as JSONL with data URIs."""
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    rows = (
        {"id": f"p{i:02d}", "prompt": f"What is in picture {i}?", "images": [data_uri((20 * i, 255 - 20 * i, 99))]}
        for i in range(12)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """One Ray on this machine for the tests of a file; the next file may need another one in this process."""
    import ray

    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def data_uri(colour: tuple[int, int, int]) -> str:
    """A 16 x 16 picture of one colour with a black corner."""
    image = Image.new("RGB", (16, 16), colour)
    image.paste((0, 0, 0), (0, 0, 5, 5))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
