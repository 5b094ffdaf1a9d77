"""What may go wrong on a cluster, at random moments of a real search or sweep; afterwards everything is as without it.

    FAULTS_REPORT=tests/benchmarks/results/faults.md python -m pytest tests/pipelines/test_faults.py -m slow -k through
    FAULTS_REPORT=tests/benchmarks/results/kills.md python -m pytest tests/pipelines/test_faults.py -m slow -k drawn

FAULT_ROUNDS says how often each fault strikes searches of its own (5); FAULT_KILLS how many kills of drawn kinds strike
searches, and as many sweeps (50).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import random
import re
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

from tests.support.cluster import ROOT, Machine, MlflowServer, RayCluster, cluster_environment, command_of, ray_cluster
from tests.support.tiny_models import TinyPair

ALPHAS = [0.0, 0.1, 0.2, 0.3, 0.4]
PROMPTS = 12
MOST = 5
"""Strikes of one kind that one search gets."""
MOST_KILLS = 10
"""Kills that one search or sweep gets where their kinds are drawn."""
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "5"))
KILLS = int(os.environ.get("FAULT_KILLS", "50"))
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
    kind = "search"

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    @property
    def searches(self) -> dict[str, Path]:
        """Name -> folder of each."""
        return {"": self.run_dir}

    def settings(self) -> dict[str, Any]:
        return {
            "base": str(self.pair.base),
            "donor": str(self.pair.donor),
            "prompts": {"path": str(self.prompts)},
            "run_dir": str(self.run_dir),
            "tracking": {"uri": self.server.address, "experiment": "faults", "system_metrics": False},
            "searching": {"metric": "either", "alphas": ALPHAS, "noise": 0},
            "engine": {"actors": 2, "cpus": 1, "block_size": 1, "max_tokens": 8},
        }

    def start(self) -> None:
        file = self.folder.parent / f"{self.folder.name}.json"
        file.write_text(json.dumps(self.settings()))
        command = [sys.executable, f"pipelines/{self.kind}.py", "--config", str(file)]
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
        for name, folder in self.searches.items():
            for file in folder.glob("responses/*.jsonl"):
                for line in file.read_bytes().split(b"\n"):
                    with contextlib.suppress(ValueError):
                        found[f"{name} {json.loads(line)['key']}"] += 1
        return found

    def choice_made(self) -> bool:
        return all((folder / "selection.json").exists() for folder in self.searches.values())

    def choices(self) -> dict[str, dict[str, Any]]:
        """All of `selection.json` of each search."""
        return {name: json.loads((at / "selection.json").read_text()) for name, at in self.searches.items()}

    def digests(self) -> dict[str, str]:
        """Of the merged weights."""
        files = sorted(self.run_dir.glob("**/merged/*.safetensors"))
        return {str(file.relative_to(self.run_dir)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    def names(self) -> set[str]:
        """Of all files and folders that are not numbered by the run that wrote them."""
        found = (str(path.relative_to(self.run_dir)) for path in self.run_dir.rglob("*"))
        return {name for name in found if not re.search(r"responses/.|tracking/", name)}

    def runs(self, folder: Path) -> list[Any]:
        """On the dashboard, of what a folder describes."""
        return self.server.runs(json.loads((folder / "search.json").read_text())["key"])


class Sweep(Search):
    """Two pairs with one base, in two lanes with an engine each."""

    kind = "sweep"

    @property
    def searches(self) -> dict[str, Path]:
        return {name: self.run_dir / name / "linear" for name in ("first", "second")}

    def settings(self) -> dict[str, Any]:
        found = super().settings()
        del found["base"], found["donor"]
        donors = {"first": self.pair.donor, "second": self.pair.ancestor}
        pairs = {name: {"base": str(self.pair.base), "donor": str(donor)} for name, donor in donors.items()}
        return found | {"engine": found["engine"] | {"actors": 1}, "sweep": {"pairs": pairs, "lanes": 2}}


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


Make = Callable[[Path, type[Search]], Search]


@pytest.fixture(scope="module")
def make(cluster: RayCluster, server: MlflowServer, tiny_pair: TinyPair, prompt_file: Path) -> Make:
    def made(folder: Path, kind: type[Search]) -> Search:
        folder.mkdir(exist_ok=True)
        return kind(cluster, server, tiny_pair, prompt_file, folder)

    return made


@pytest.fixture(scope="module")
def calm(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Calm:
    return undisturbed(make(tmp_path_factory.mktemp("calm") / "calm", Search))


def undisturbed(search: Search) -> Calm:
    started = time.monotonic()
    search.start()
    while not actors(search) and search.running():
        time.sleep(0.1)
    engines = time.monotonic() - started
    assert search.wait() == 0, search.log()
    assert set(search.stored().values()) == {1}
    assert len(search.stored()) == len(search.searches) * len(ALPHAS) * PROMPTS
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
def test_a_search_comes_through(fault: str, calm: Calm, make: Make, tmp_path: Path, report: dict[str, Rounds]) -> None:
    """Searches are struck several times each, until the fault has struck often enough."""
    dice, rounds, strike = random.Random(fault), report[fault], FAULTS[fault]
    for number in range(2 * ROUNDS):  # some moments are too late to hit anything
        with disk(tmp_path / str(number), small=strike is fill_disk) as folder:
            search = make(folder, Search)
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


@dataclass
class Kills:
    """How many of each kind struck, and how long the commands took, given again until they ended."""

    undisturbed: float
    kinds: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


class Wave:
    """Up to three deaths at one moment; then everything that died comes back, the command by being given again."""

    def __init__(self, search: Search, dice: random.Random) -> None:
        self._search, self._dice, self._lost = search, dice, list[Machine]()
        self.kinds = {
            "engine's actor": lambda: self._worker("EngineActor"),
            "export task": lambda: self._worker("_run_group"),
            "machine": self._machine,
            "driver": self._driver,
            "MLflow server": self._server,
        }

    def strike(self, most: int) -> Counter[str]:
        """Which kinds there was something to hit of."""
        drawn = self._dice.sample(list(self.kinds), self._dice.randint(1, min(most, 3)))
        struck = Counter(kind for kind in drawn if self.kinds[kind]())
        if struck["driver"]:
            self._search.start()
        if struck["MLflow server"]:
            self._search.server.start()
        for machine in self._lost:
            self._search.cluster.replace(machine)
        return struck

    def _worker(self, title: str) -> bool:
        found = workers(self._search, title)
        started = [worker for worker in found if not command_of(worker).endswith(".ready")]  # see `kill_actor`
        return bool(started) and killed(self._dice.choice(started))

    def _machine(self) -> bool:
        self._lost.append(self._dice.choice(self._search.cluster.machines))
        self._lost[0].kill()
        return True

    def _driver(self) -> bool:
        process = self._search.process
        if process is None or process.poll() is not None:
            return False
        process.kill()
        process.wait()
        return True

    def _server(self) -> bool:
        self._search.server.kill()
        return True


@pytest.mark.parametrize("kind", [Search, Sweep], ids=["searches", "sweeps"])
def test_kills_of_drawn_kinds_at_drawn_moments(
    kind: type[Search], make: Make, tmp_path: Path, killed_so_far: dict[str, Kills]
) -> None:
    """Whatever comes together: the driver and a machine, an actor and the dashboard."""
    calm = undisturbed(make(tmp_path / "calm", kind))
    dice = random.Random(kind.kind)
    kills = killed_so_far[kind.kind] = Kills(calm.end)
    while kills.kinds.total() < KILLS:
        search = make(tmp_path / str(len(kills.seconds)), kind)
        started, struck = time.monotonic(), Counter[str]()
        search.start()
        while search.running() and (left := min(MOST_KILLS, KILLS - kills.kinds.total()) - struck.total()) > 0:
            before = search.stored()
            some_time(search, dice)
            if search.running():
                struck += Wave(search, dice).strike(left)
            assert before <= search.stored(), "what is stored stays"
        assert search.wait() == 0, search.log()
        kills.seconds.append(time.monotonic() - started)
        deliver(search)
        as_without(search, calm)
        kills.kinds += struck
        write_kills(killed_so_far)


def as_without(search: Search, calm: Calm) -> None:
    """Nothing is lost, nothing was done twice, nothing else came of it, and nothing lies around."""
    assert search.stored() == calm.search.stored(), "every answer, once"
    assert search.choices() == calm.search.choices()
    assert search.digests() == calm.search.digests()
    assert search.names() == calm.search.names(), "no half of a folder lies there"
    for name, folder in search.searches.items():
        runs, wanted = search.runs(folder), search.choices()[name]
        kinds = Counter(run.data.tags["adamms.kind"] for run in runs)
        assert kinds == {"search": 1, "candidate": len(ALPHAS)}, "one run for each candidate"
        candidates = {run.data.params["alpha"]: run for run in runs if run.data.tags["adamms.kind"] == "candidate"}
        assert sorted(map(float, candidates)) == ALPHAS
        assert {run.info.status for run in runs} == {"FINISHED"}
        for alpha, run in candidates.items():
            assert run.data.tags.get("chosen") == ("true" if float(alpha) == wanted["alpha"] else None)
            assert run.data.metrics.get("either") == wanted["scores"][alpha]
    if search.run_dir not in search.searches.values():
        (sweep,) = search.runs(search.run_dir)
        assert (sweep.data.tags["adamms.kind"], sweep.info.status) == ("sweep", "FINISHED")


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


@pytest.fixture(scope="module")
def killed_so_far() -> dict[str, Kills]:
    """Of searches and of sweeps."""
    return {}


def write(found: dict[str, Rounds], calm: Calm) -> None:
    rows = [
        f"| {fault} | {rounds.strikes} | {len(rounds.seconds)} | {statistics.median(rounds.seconds):.0f} "
        f"| {max(rounds.seconds):.0f} | as without it |"
        for fault, rounds in found.items()
        if rounds.strikes
    ]
    command = f"FAULT_ROUNDS={ROUNDS} python -m pytest tests/pipelines/test_faults.py -m slow -k through"
    text = f"""# Faults

`FAULTS_REPORT=tests/benchmarks/results/faults.md {command}`

{_place()}, a search over {len(ALPHAS)} alphas and
{PROMPTS} prompts with two engines (Transformers, tiny models), which takes {calm.end:.0f} s undisturbed. The fault
strikes a search up to {MOST} times at drawn moments while it answers or exports; times are until the
search is finished, the command given again included.

| fault | strikes | searches struck | median s | longest s | outcome |
| --- | ---: | ---: | ---: | ---: | --- |
{chr(10).join(rows)}

{AS_WITHOUT}
"""
    publish(text if rows else "")


def write_kills(found: dict[str, Kills]) -> None:
    head = ["killed", *(f"of a {name}" for name in found)]
    rows = [[death, *(str(kills.kinds[death]) for kills in found.values())] for death in KINDS]
    rows.append(["all", *(str(kills.kinds.total()) for kills in found.values())])
    rows.append(["commands struck", *(str(len(kills.seconds)) for kills in found.values())])
    rows.append(["undisturbed, s", *(f"{kills.undisturbed:.0f}" for kills in found.values())])
    rows.append(["struck: median s", *(f"{statistics.median(kills.seconds):.0f}" for kills in found.values())])
    rows.append(["struck: longest s", *(f"{max(kills.seconds):.0f}" for kills in found.values())])
    table = [head, ["---", *("---:" for _ in found)], *rows]
    command = f"FAULT_KILLS={KILLS} python -m pytest tests/pipelines/test_faults.py -m slow -k drawn"
    publish(f"""# Kills

`FAULTS_REPORT=tests/benchmarks/results/kills.md {command}`

{_place()}; Transformers with tiny models. A search over
{len(ALPHAS)} alphas and {PROMPTS} prompts with two engines; a sweep of two such searches in two lanes with an engine
each. What is killed is drawn, and when: one to three of these at once, all with `kill -9`, up to {MOST_KILLS} while one
command, given again where it was a victim itself, is at work.

{chr(10).join(f"| {' | '.join(row)} |" for row in table)}

Every one of them ended as without it. {AS_WITHOUT}
""")


KINDS = ("engine's actor", "export task", "machine", "driver", "MLflow server")
AS_WITHOUT = """"As without it": every answer is stored once and none was asked for twice, the same `selection.json`,
the same bytes in `merged/`, no other file or folder left, one MLflow run for the search and for each alpha, all of them
FINISHED and one of them chosen."""


def _place() -> str:
    memory, load = psutil.virtual_memory().total / 2**30, os.getloadavg()[2]
    return f"""{time.strftime("%Y-%m-%d")}, {os.cpu_count()} cores of {platform.machine()}, {memory:.0f} GB, other work
beside it (load {load:.0f}). A Ray head and two machines of one core (processes of their own), an MLflow server; Ray
takes a machine for dead after 5 s of silence here (its default is 15 s and more)"""


def publish(text: str) -> None:
    print(text)
    if text and "FAULTS_REPORT" in os.environ:
        Path(os.environ["FAULTS_REPORT"]).write_text(text)
