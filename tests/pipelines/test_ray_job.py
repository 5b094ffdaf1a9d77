"""The same command, sent to a Ray cluster: `ray job submit --working-dir . -- python pipelines/search.py ...`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipelines.test_search import ROOT, settings
from tests.tiny_models import TinyPair

RAY = str(Path(sys.executable).with_name("ray"))


@pytest.fixture
def job_server(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Ray head with its job server on the loopback interface, in processes of its own."""
    port, dashboard = free_port(), free_port()
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "disabled",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "RAY_TMPDIR": "/tmp/adamms-test-ray",  # short: socket names are limited to 107 bytes
    }
    monkeypatch.setattr(os, "environ", environment)
    head = ["--head", "--port", str(port), "--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard)]
    command = [RAY, "start", *head, "--num-cpus", "2", "--block", "--disable-usage-stats"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        wait_for(dashboard, process)
        yield f"http://127.0.0.1:{dashboard}"
        process.terminate()


def test_the_search_runs_as_a_ray_job(job_server: str, tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path) -> None:
    script = ["python", "pipelines/search.py", *settings(tiny_pair, prompt_file, tmp_path)]
    command = [RAY, "job", "submit", "--address", job_server, "--working-dir", str(ROOT), "--", *script]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "<- chosen" in done.stdout
    assert json.loads((tmp_path / "run" / "selection.json").read_text())["alpha"] in (0.2, 0.4)
    assert (tmp_path / "run" / "merged" / "model.safetensors").is_file()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    import time

    for _ in range(1200):
        assert process.poll() is None, "the Ray head ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("the Ray head did not start")
