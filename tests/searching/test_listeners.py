"""What an operator sees of a running search: metrics at Ray's endpoint, JSON lines, and nothing open to the network."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
TAGS = {"search": "pair/linear", "actor": "0"}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process saw that answered twelve prompts over a Ray of its own, and what it logged."""
    program = "from tests.searching.test_listeners import answer; answer()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_metrics_report_interval_ms": "500"}
    environment.pop("RAY_ADDRESS", None)
    folder = tmp_path_factory.mktemp("answer")
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "log": done.stderr}


def answer() -> None:
    """Six prompts at two alphas by a fake engine: what they answer does not matter here."""
    import time
    import urllib.request

    from adamms.engines.config import EngineConfig
    from adamms.engines.pool import InferencePool
    from adamms.merging.candidate import Candidate
    from adamms.merging.recipe import Recipe
    from adamms.prompts.prompt import Prompt
    from adamms.runs.run_folder import RunFolder
    from adamms.searching.events import Events, UnitAnswered
    from adamms.searching.listeners import count_in_ray, log_lines
    from adamms.support.logs import LogConfig, configure_logs
    from adamms.support.ray_session import ray_session
    from tests.support.fake_engine import FakeSpec

    configure_logs(LogConfig("json", "info"))
    prompts = [Prompt(f"p{i}", "?") for i in range(6)]
    with ray_session(None), InferencePool(FakeSpec(EngineConfig(cpus=1), Path.cwd()), 1) as pool:  # type: ignore[arg-type]
        events = Events((count_in_ray, log_lines), RunFolder(Path.cwd()), TAGS["search"])
        work = {Candidate(value, Recipe(alpha=value)): prompts for value in (0.1, 0.2)}
        for result in pool.answer(work, block_size=3):
            events.say(UnitAnswered, result=result, coefficient="alpha")
        import ray

        (node,) = ray.nodes()
        address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        deadline, metrics = time.monotonic() + 60, ""
        while "adamms_answers" not in metrics and time.monotonic() < deadline:
            time.sleep(0.5)
            with urllib.request.urlopen(address) as page:
                metrics = page.read().decode()
        print(json.dumps({"metrics": metrics, "sockets": sockets()}))


def sockets() -> list[tuple[str, str]]:
    """Where this process and all that it started take connections: program, address."""
    ours = psutil.Process()
    return [
        (process.name(), connection.laddr.ip)
        for process in [ours, *ours.children(recursive=True)]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]


def test_answers_are_counted_at_rays_endpoint(seen: dict[str, Any]) -> None:
    (line,) = [line for line in seen["metrics"].splitlines() if re.match(r"ray_adamms_answers(_total)?\{", line)]
    tags = dict(re.findall(r'(\w+)="([^"]*)"', line))
    assert tags.items() >= TAGS.items()
    assert float(line.split()[-1]) == 12
    (alpha,) = [line for line in seen["metrics"].splitlines() if line.startswith("ray_adamms_alpha{")]
    assert float(alpha.split()[-1]) == 0.2


def test_every_unit_is_a_line_of_json(seen: dict[str, Any]) -> None:
    rows = [json.loads(line) for line in seen["log"].splitlines() if "answered" in line]
    assert [row["message"] for row in rows] == ["answered 3 prompts"] * 4
    assert [row["alpha"] for row in rows] == [0.1, 0.1, 0.2, 0.2]
    assert {(row["search"], row["actor"], row["level"]) for row in rows} == {("pair/linear", 0, "INFO")}


def test_a_search_on_this_machine_is_open_to_nobody_else(seen: dict[str, Any]) -> None:
    names = {name for name, _ in seen["sockets"]}
    assert {"gcs_server", "raylet"} <= names, "Ray's own processes are among them"
    open_to_all = [(name, ip) for name, ip in seen["sockets"] if not loopback(ip)]
    assert open_to_all == []


def loopback(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    mapped = getattr(address, "ipv4_mapped", None)  # as Ray's C++ parts bind it
    return bool((mapped or address).is_loopback)
