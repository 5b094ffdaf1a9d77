"""A Ray cluster of several machines on this one, and an MLflow server: real processes, which can be killed."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from adamms.support.ray_session import LOOPBACK_ONLY
from tests.tracking.conftest import wait_for

ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).with_name("ray"))
DEAD_SOON = {  # Ray's own patience with a machine that is silent is half a minute
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
}


class Machine:
    """What `ray start --block` starts, and everything that this starts."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command, env=dict(environment), stdout=output, stderr=output, start_new_session=True
            )

    @property
    def started(self) -> bool:
        """Whether it says so."""
        return "Ray runtime started" in self._log.read_text()

    def processes(self) -> list[psutil.Process]:
        """All of them, the raylet before its workers."""
        with contextlib.suppress(psutil.NoSuchProcess):
            top = psutil.Process(self.process.pid)
            return [top, *top.children(recursive=True)]
        return []

    def workers(self, title: str) -> list[psutil.Process]:
        """Ray's worker processes that do something, such as `EngineActor`."""
        return [process for process in self.processes() if command_of(process).startswith(f"ray::{title}")]

    def kill(self) -> None:
        """As if its power were cut."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()


class RayCluster:
    """A head without cores for work, with its job server on the loopback interface, and machines of one core each.

    Args:
        environment: of all its processes and of commands for it.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder, self.environment = folder, dict(environment)
        self._port, self._dashboard, self.metrics_port = _port(), _port(), _port()
        self.address, self.jobs = f"{_ip(0)}:{self._port}", f"http://127.0.0.1:{self._dashboard}"
        self.head: Machine | None = None
        self.machines: list[Machine] = []
        self._started = 0

    def start(self, machines: int) -> None:
        head = ["--head", "--node-ip-address", _ip(0), "--port", str(self._port), "--num-cpus", "0"]
        head += ["--dashboard-host", "127.0.0.1", "--dashboard-port", str(self._dashboard)]
        head += ["--ray-client-server-port", str(_port()), "--metrics-export-port", str(self.metrics_port)]
        self.head = self._start(*head, "--temp-dir", str(self.folder))
        wait_until(lambda: _listens(self._dashboard), 120, "the job server")
        for _ in range(machines):
            self.add_machine()
        self.wait_for_machines()

    def add_machine(self) -> Machine:
        """One more. On a busy machine starting may hang, so it is tried again."""
        for _ in range(3):
            self._started += 1
            place = ["--address", self.address, "--node-ip-address", _ip(self._started)]
            machine = self._start(*place, "--num-cpus", "1")
            try:
                wait_until(lambda machine=machine: machine.started, 60, "a machine's start")
            except TimeoutError:
                machine.kill()
            else:
                self.machines.append(machine)
                return machine
        raise TimeoutError(f"no machine starts; {self._said()}")

    def replace(self, machine: Machine) -> None:
        """Another one in place of one that is dead."""
        self.machines.remove(machine)
        self.add_machine()

    def wait_for_machines(self) -> None:
        """Returns when all have joined, and no others are left."""
        program = (
            "import ray; ray.init(log_to_driver=False, logging_level='ERROR');"
            "print(sum(node['Alive'] for node in ray.nodes()), int(ray.cluster_resources().get('CPU', 0)))"
        )
        wanted = f"{len(self.machines) + 1} {len(self.machines)}"

        def joined() -> bool:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.run([sys.executable, "-c", program], seconds=30).stdout.strip() == wanted
            return False

        try:
            wait_until(joined, 120, f"{wanted} machines and cores")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; {self._said()}") from None

    def run(self, command: Sequence[str], seconds: float = 400, **more: str) -> subprocess.CompletedProcess[str]:
        """A command with the cluster as Ray's address."""
        environment = {**self.environment, "RAY_ADDRESS": self.address, **more}
        return subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
        )

    def job(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """`ray job ...` as an operator gives it."""
        return self.run([RAY, "job", arguments[0], "--address", self.jobs, *arguments[1:]], RAY_ADDRESS="", **more)

    def close(self) -> None:
        for machine in (*self.machines, *([self.head] if self.head else [])):
            machine.kill()

    def _said(self) -> str:
        """The ends of what the machines said."""
        return "\n".join(log.read_text()[-800:] for log in self.folder.glob("*.log"))

    def _start(self, *arguments: str) -> Machine:
        ports = ["--dashboard-agent-listen-port", str(_port()), "--min-worker-port", "0", "--max-worker-port", "0"]
        command = [RAY, "start", "--block", "--disable-usage-stats", *ports, *arguments]
        return Machine(command, self.environment, self.folder / f"{_port()}.log")


@contextlib.contextmanager
def ray_cluster(environment: Mapping[str, str], machines: int = 2) -> Iterator[RayCluster]:
    """A cluster until the block ends; its folder's path is short, since names of sockets are limited to 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="adamms-", dir="/tmp"))
    cluster = RayCluster(folder, environment)
    try:
        cluster.start(machines)
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)


def cluster_environment(**more: str) -> dict[str, str]:
    """For all processes of a cluster: this checkout's code, this environment's programs."""
    return {
        **{name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", *LOOPBACK_ONLY)},
        **DEAD_SOON,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        **more,
    }


class MlflowServer:
    """A real server on SQLite whose processes can be killed and started anew at the same address."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, _port()
        self.address = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db", "--workers", "1"]
        command += ["--artifacts-destination", str(self._folder / "artifacts")]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self._folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, cwd=self._folder, env=environment
            )
        wait_for(f"{self.address}/health", self._process)

    def kill(self) -> None:
        assert self._process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            top = psutil.Process(self._process.pid)
            for process in [top, *top.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self._process.wait()

    def runs(self, search: str) -> list[Any]:
        """All runs of one search, by its key."""
        import mlflow

        client = mlflow.MlflowClient(self.address)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        return list(client.search_runs(experiments, f"tags.`adamms.search` = '{search}'", max_results=1000))


def _ip(number: int) -> str:
    """Every machine has a loopback address of its own, by which Ray tells them apart (127.0.0.1 it would replace)."""
    return f"127.0.0.{2 + number}"


def _port() -> int:
    """A free one that the system gives to nobody by itself meanwhile, nor Ray to workers of other clusters."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            return port
    raise OSError("no free port")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """What the condition comes to, once it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise TimeoutError(f"not in {seconds:g} s: {what}")


def command_of(process: psutil.Process) -> str:
    """Its command line; empty of one that has ended."""
    return " ".join(_arguments(process))


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
