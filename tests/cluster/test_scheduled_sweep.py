"""The scheduled sweep's script against a real Ray head that asks for a token, on this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.manifests import containers, manifests
from tests.tracking.conftest import free_port

pytestmark = pytest.mark.slow
(CONTAINER,) = containers(manifests()["sweep-cronjob.yaml CronJob weekly-sweep"])
RAY = str(Path(sys.executable).with_name("ray"))
PIPELINE = """
import pathlib, sys, time
print("pipeline with", sys.argv[1:], flush=True)
pathlib.Path("started").touch()
time.sleep(float(pathlib.Path("seconds").read_text()))
"""


@pytest.fixture
def head(environment: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of the script's pod; the head's folder is as the image's: it has the pipelines in it."""
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "sweep.py").write_text(PIPELINE)
    (tmp_path / "seconds").write_text("1")
    dashboard, token = free_port(), {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64}
    temporary = f"/tmp/adamms-sweep-{dashboard}"
    environment = environment | token | {"RAY_TMPDIR": temporary}
    command = [RAY, "start", "--head", "--block", "--port", str(free_port()), "--dashboard-port", str(dashboard)]
    # ports of its own where the default is a number: another Ray on this machine has that one
    command += ["--ray-client-server-port", str(free_port()), "--dashboard-agent-listen-port", str(free_port())]
    command += ["--num-cpus", "1", "--disable-usage-stats"]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        address = f"http://127.0.0.1:{dashboard}"
        while subprocess.run(
            [RAY, "job", "list", "--address", address], env=environment, capture_output=True, check=False
        ).returncode:
            assert process.poll() is None
            time.sleep(1)
        yield environment | {"RAY_ADDRESS": address, "JOB": "weekly-sweep-1"}
        process.terminate()
    shutil.rmtree(temporary, ignore_errors=True)


def script(environment: dict[str, str], **changed: str) -> subprocess.Popen[str]:
    command = [*CONTAINER["command"], *CONTAINER["args"]]
    return subprocess.Popen(
        command, env=environment | changed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/"
    )


def test_it_submits_follows_takes_over_and_stops(head: dict[str, str], tmp_path: Path) -> None:
    with script(head) as done:
        output = done.communicate(timeout=300)[0]
    assert done.returncode == 0, output
    assert "'--config', 'conf/sweeps/demo.yaml', 'sweep.lanes=8', 'run_dir=/shared/runs/weekly-sweep/20" in output

    (tmp_path / "started").unlink()
    with script(head) as again:  # a pod that takes over: the job is there, and is not submitted twice
        output = again.communicate(timeout=300)[0]
    assert again.returncode == 0, output
    assert not (tmp_path / "started").exists()

    (tmp_path / "seconds").write_text("600")
    with script(head, JOB="weekly-sweep-2") as stopped:
        while not (tmp_path / "started").exists():
            assert stopped.poll() is None
            time.sleep(0.5)
        stopped.terminate()  # as when the Kubernetes job is deleted
        output = stopped.communicate(timeout=120)[0]
    assert stopped.returncode == 1, output
    assert "was stopped" in output

    stranger = subprocess.run(
        [RAY, "job", "list"], env=head | {"RAY_AUTH_TOKEN": "b" * 64}, capture_output=True, text=True, check=False
    )
    assert stranger.returncode != 0
    assert "token" in (stranger.stdout + stranger.stderr).lower()
