"""What may go wrong on a cluster, at random moments of a real search; afterwards everything is as without it.

    FAULTS_REPORT=tests/benchmarks/results/faults.md python -m pytest tests/pipelines/test_faults.py -m slow

FAULT_ROUNDS says how often each fault strikes (5).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.cluster import ROOT, MlflowServer, RayCluster, cluster_environment, command_of, ray_cluster
from tests.support.tiny_models import TinyPair

ALPHAS = [0.0, 0.1, 0.2, 0.3, 0.4]
PROMPTS = 12
MOST = 5
"""Strikes that one search gets."""
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "5"))
FULL = 2
"""Exit status of a search that the user can mend: here, by making room."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@dataclass
class Search:
    """The command of one search, its folder, and the process that runs it now."""

    cluster: RayCluster
    server: MlflowServer
    pair: TinyPair
    prompts: Path
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    told: list[str] = field(default_factory=list)

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    def start(self) -> None:
        given = {
            "base": self.pair.base,
            "donor": self.pair.donor,
            "prompts.path": self.prompts,
            "run_dir": self.run_dir,
            "tracking.uri": self.server.address,
            "tracking.system_metrics": "false",
            "searching.alphas": ALPHAS,
            "searching.noise": 0,
            "engine.actors": 2,
            "engine.cpus": 1,
            "engine.block_size": 1,
            "engine.max_tokens": 8,
        }
        command = [sys.executable, "pipelines/search.py", *(f"{name}={value}" for name, value in given.items())]
        environment = {**self.cluster.environment, "RAY_ADDRESS": self.cluster.address}
        log = self.folder.parent / f"{self.folder.name}-{len(self.told)}.log"
        self.told.append(str(log))
        with log.open("w") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(400)

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log(self) -> str:
        return Path(self.told[-1]).read_text()

    def stored(self) -> Counter[str]:
        """How often each answer is stored; the line that a kill tore is none."""
        found: Counter[str] = Counter()
        for file in self.run_dir.glob("responses/*.jsonl"):
            for line in file.read_bytes().split(b"\n"):
                with contextlib.suppress(ValueError):
                    found[json.loads(line)["key"]] += 1
        return found

    def choice_made(self) -> bool:
        return (self.run_dir / "selection.json").exists()

    def choice(self) -> dict[str, Any]:
        """All of `selection.json`."""
        found: dict[str, Any] = json.loads((self.run_dir / "selection.json").read_text())
        return found

    def digests(self) -> dict[str, str]:
        """Of the merged weights."""
        files = sorted((self.run_dir / "merged").glob("*.safetensors"))
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    def runs(self) -> list[Any]:
        """On the dashboard."""
        return self.server.runs(json.loads((self.run_dir / "search.json").read_text())["key"])


@dataclass(frozen=True)
class Calm:
    """A search that nothing happened to, and its times: engines began to start, it ended."""

    search: Search
    engines: float
    end: float


@dataclass
class Rounds:
    """What one fault did: how often it struck, and how long the searches took that it struck."""

    strikes: int = 0
    seconds: list[float] = field(default_factory=list)

    def add(self, strikes: int, seconds: float) -> None:
        if strikes:
            self.strikes += strikes
            self.seconds.append(seconds)


Strike = Callable[[Search, random.Random], bool]
"""Does it once; whether there was still something to hit."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(cluster_environment(RAY_AUTH_MODE="disabled")) as found:
        yield found


@pytest.fixture(scope="module")
def new_search(
    cluster: RayCluster, server: MlflowServer, tiny_pair: TinyPair, prompt_file: Path
) -> Callable[[Path], Search]:
    def make(folder: Path) -> Search:
        folder.mkdir(exist_ok=True)
        return Search(cluster, server, tiny_pair, prompt_file, folder)

    return make


@pytest.fixture(scope="module")
def calm(new_search: Callable[[Path], Search], tmp_path_factory: pytest.TempPathFactory) -> Calm:
    search = new_search(tmp_path_factory.mktemp("calm") / "calm")
    started = time.monotonic()
    search.start()
    while not actors(search) and search.running():
        time.sleep(0.1)
    engines = time.monotonic() - started
    assert search.wait() == 0, search.log()
    assert set(search.stored().values()) == {1}
    assert len(search.stored()) == len(ALPHAS) * PROMPTS
    return Calm(search, engines, time.monotonic() - started)


def kill_actor(search: Search, dice: random.Random) -> bool:
    """`kill -9` of an engine that has started; one that dies while it starts, again and again, is given up."""
    while search.running():
        if found := [actor for actor in actors(search) if not command_of(actor).endswith(".ready")]:
            time.sleep(dice.uniform(0, 2))
            return killed(dice.choice(found))
        time.sleep(0.05)
    return False


def kill_export_task(search: Search, dice: random.Random) -> bool:
    """`kill -9` of a Ray worker that writes the winner."""
    while search.running():
        if found := workers(search, "_run_group"):
            time.sleep(dice.uniform(0, 0.2))
            return killed(dice.choice(found))
        time.sleep(0.01)
    return False


def kill_machine(search: Search, dice: random.Random) -> bool:
    """A whole machine that does something loses its power; another one comes some time later."""
    while search.running():
        if found := [machine for machine in search.cluster.machines if machine.workers("EngineActor")]:
            time.sleep(dice.uniform(0, 4))
            lost = dice.choice(found)
            lost.kill()
            time.sleep(dice.uniform(0, 8))
            search.cluster.replace(lost)
            return True
        time.sleep(0.05)
    return False


def kill_driver(search: Search, dice: random.Random) -> bool:
    """`kill -9` of the command itself; then the same command again."""
    some_time(search, dice)
    if not search.running():
        return False
    assert search.process is not None
    search.process.kill()
    search.process.wait()
    search.start()
    return True


def kill_mlflow(search: Search, dice: random.Random) -> bool:
    """The server goes away, and comes back while the search goes on or after it."""
    some_time(search, dice)
    if not search.running():
        return False
    search.server.kill()
    if dice.random() < 0.5:
        search.wait()
    search.server.start()
    return True


def fill_disk(search: Search, dice: random.Random) -> bool:
    """The disk of `run_dir` is full; once there is room again, the same command goes on."""
    some_time(search, dice)
    filler = search.folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"0" * 4096)
    struck = search.wait() != 0
    if struck:
        assert search.process is not None
        assert search.process.returncode == FULL, search.log()
        (line,) = [line for line in search.log().splitlines() if line.startswith("error: ")]
        assert "make room" in line
        assert "Traceback" not in search.log()
    filler.unlink()
    if struck:
        search.start()
    return struck


FAULTS: dict[str, Strike] = {
    "an engine's actor is killed": kill_actor,
    "an export task is killed": kill_export_task,
    "a machine is lost": kill_machine,
    "the driver is killed": kill_driver,
    "the MLflow server is killed": kill_mlflow,
    "the disk is full": fill_disk,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_search_comes_through(
    fault: str, calm: Calm, new_search: Callable[[Path], Search], tmp_path: Path, report: dict[str, Rounds]
) -> None:
    """Searches are struck several times each, until the fault has struck often enough."""
    dice, rounds, strike = random.Random(fault), report[fault], FAULTS[fault]
    for number in range(2 * ROUNDS):  # some moments are too late to hit anything
        with disk(tmp_path / str(number), small=strike is fill_disk) as folder:
            search = new_search(folder)
            started = time.monotonic()
            search.start()
            strikes = 0
            while search.running() and strikes < MOST and rounds.strikes + strikes < ROUNDS:
                before = search.stored()
                strikes += strike(search, dice)
                assert before <= search.stored(), "what is stored stays"
            assert search.wait() == 0, search.log()
            seconds = time.monotonic() - started
            deliver(search)
            as_without(search, calm)
            rounds.add(strikes, seconds)
        if rounds.strikes == ROUNDS:
            break
    write(report, calm)
    assert rounds.strikes == ROUNDS


def as_without(search: Search, calm: Calm) -> None:
    """Nothing is lost, nothing was done twice, nothing else came of it, and nothing lies around."""
    assert search.stored() == calm.search.stored(), "every answer, once"
    found, wanted = search.choice(), calm.search.choice()
    assert found == wanted
    assert search.digests() == calm.search.digests()
    names = {path.name for path in search.run_dir.iterdir()}
    assert names == {path.name for path in calm.search.run_dir.iterdir()}, "no half of a folder lies there"

    runs = search.runs()
    kinds = Counter(run.data.tags["adamms.kind"] for run in runs)
    assert kinds == {"search": 1, "candidate": len(ALPHAS)}, "one run for each candidate"
    candidates = {run.data.params["alpha"]: run for run in runs if run.data.tags["adamms.kind"] == "candidate"}
    assert sorted(map(float, candidates)) == ALPHAS
    assert {run.info.status for run in runs} == {"FINISHED"}
    for alpha, run in candidates.items():
        assert run.data.tags["chosen"] == ("true" if float(alpha) == wanted["alpha"] else "false")
        assert run.data.metrics.get("either") == wanted["scores"][alpha]


def deliver(search: Search) -> None:
    """As the search says where the server did not answer at its end."""
    if "adamms track" in search.log():
        done = search.cluster.run([sys.executable, "-m", "adamms.cli", "track", str(search.run_dir)])
        assert done.returncode == 0, done.stderr


def some_time(search: Search, dice: random.Random) -> None:
    """Until after its answers have begun, or its end."""
    before = search.stored()
    while search.running() and search.stored() == before and not search.choice_made():
        time.sleep(0.05)
    moment = time.monotonic() + dice.uniform(0, 4)
    while search.running() and time.monotonic() < moment:
        time.sleep(0.05)


def actors(search: Search) -> list[psutil.Process]:
    return workers(search, "EngineActor")


def workers(search: Search, title: str) -> list[psutil.Process]:
    return [process for machine in search.cluster.machines for process in machine.workers(title)]


def killed(process: psutil.Process) -> bool:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return False
    return True


@contextlib.contextmanager
def disk(folder: Path, small: bool) -> Iterator[Path]:
    """The folder; a small one is a file system of its own."""
    folder.mkdir()
    if not small:
        yield folder
        return
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "none", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no mount here: {mounted.stderr}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def report() -> dict[str, Rounds]:
    """How often each fault struck, written down in the end."""
    return {fault: Rounds() for fault in FAULTS}


def write(found: dict[str, Rounds], calm: Calm) -> None:
    rows = [
        f"| {fault} | {rounds.strikes} | {len(rounds.seconds)} | {statistics.median(rounds.seconds):.0f} "
        f"| {max(rounds.seconds):.0f} | as without it |"
        for fault, rounds in found.items()
        if rounds.strikes
    ]
    memory = psutil.virtual_memory().total / 2**30
    command = f"FAULT_ROUNDS={ROUNDS} python -m pytest tests/pipelines/test_faults.py -m slow"
    text = f"""# Faults

`FAULTS_REPORT=tests/benchmarks/results/faults.md {command}`

{time.strftime("%Y-%m-%d")}, {os.cpu_count()} cores of {platform.machine()}, {memory:.0f} GB, other work beside it. A
Ray head and two machines of one core (processes of their own), an MLflow server, a search over {len(ALPHAS)} alphas and
{PROMPTS} prompts with two engines (Transformers, tiny models), which takes {calm.end:.0f} s undisturbed. The fault
strikes a search up to {MOST} times at drawn moments while it answers or exports; times are until the
search is finished, the command given again included. Ray takes a machine for dead after 5 s of silence here (its
default is 15 s and more).

| fault | strikes | searches struck | median s | longest s | outcome |
| --- | ---: | ---: | ---: | ---: | --- |
{chr(10).join(rows)}

"As without it": every answer is stored once and none was asked for twice, the same `selection.json`, the same bytes
in `merged/`, no other file or folder left, one MLflow run for the search and for each alpha, all of them FINISHED.
"""
    print(text)
    if rows and "FAULTS_REPORT" in os.environ:
        Path(os.environ["FAULTS_REPORT"]).write_text(text)
