"""Secrets in every place that takes an address: none is found in anything that a search or a merge leaves or says.

The models and pictures really come from a web server, by addresses with passwords and tokens; MLflow's address leads to
nobody, so everything is delivered later, to a database that is searched too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.tiny_models import TinyPair, picture

SECRET = "s3cr3t"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tiny_pair: TinyPair, tmp_path: Path) -> Iterator[str]:
    """Serves the pair and a picture; its address without `http://`."""
    (tmp_path / "served").mkdir()
    for name in ("base", "donor", "ancestor"):
        shutil.copytree(getattr(tiny_pair, name), tmp_path / "served" / name)
    (tmp_path / "served" / "a.png").write_bytes(picture(0))
    web = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served")))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{web.server_port}"
    web.shutdown()


@pytest.fixture
def ray_files() -> Iterator[Path]:
    """Where Ray keeps its own: a short path, since it makes sockets there."""
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="ray-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def found_in(folder: Path) -> list[str]:
    """The files that hold a secret, or are called after one."""
    held = []
    for path in folder.rglob("*"):
        if SECRET in path.name or (path.is_file() and SECRET.encode() in path.read_bytes()):
            held.append(str(path.relative_to(folder)))
    return held


@pytest.mark.slow  # a whole search over HTTP: a minute
def test_no_secret_gets_out(server: str, tmp_path: Path, ray_files: Path) -> None:
    places = {name: f"http://{SECRET}-{name}:{SECRET}%40%2F@{server}/{name}" for name in ("base", "donor", "ancestor")}
    image = f"http://me:{SECRET}@{server}/a.png?token={SECRET}"
    prompts = tmp_path / "asked" / "p.jsonl"
    prompts.parent.mkdir()
    rows = [{"prompt": f"What is in picture {i}?", "images": [image]} for i in range(4)]
    rows.append({"prompt": "?", "images": [f"http://me:{SECRET}@127.0.0.1:9/gone.png"]})
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    left = tmp_path / "left"
    environment = {
        **os.environ,
        "RAY_TMPDIR": str(ray_files),
        "ADAMMS_CACHE": str(tmp_path / "cache"),
        "TMPDIR": str(tmp_path),
    }

    def adamms(*arguments: str, status: int = 0) -> str:
        command = [sys.executable, "-m", "adamms", *arguments]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
        assert ended.returncode == status, ended.stderr
        assert SECRET not in ended.stdout + ended.stderr
        return ended.stdout or ended.stderr

    pair = [places["base"], places["donor"]]
    settings = [f"{name}={place}" for name, place in places.items()]
    settings += [f"prompts.path={prompts}", "prompts.on_error=skip", f"run_dir={left / 'run'}", "merging.method=ties"]
    settings += [
        "engine.kind=transformers",
        "engine.max_tokens=4",
        "searching.alphas=[0.0,0.3,0.6]",
        "searching.metric=either",
    ]
    settings += [f"tracking.uri=http://{SECRET}:{SECRET}%40@127.0.0.1:9?api_key={SECRET}"]
    adamms("search", *settings, "log.format=json", "log.level=info", "searching.endpoints=one_sided")
    adamms("track", str(left / "run"), "--uri", f"sqlite:///{left / 'mlflow.db'}")
    adamms("merge", *pair, "--alpha", "0.3", "--output", str(left / "merged"))
    refused = [
        adamms("search", *settings, f"run_dir={left / 'refused'}", setting, status=2)
        for setting in (
            f"ray.address=ray://me:{SECRET}@127.0.0.1:9",
            f"prompts.path=http://{SECRET}:x@{server}/p.jsonl",
        )
    ]
    told = json.loads(adamms("map", *pair, "--json"))

    assert "ray.address=ray://***@127.0.0.1:9: no Ray cluster answers there" in refused[0]
    assert f"http://***@{server}/p.jsonl: no such file or folder" in refused[1]
    assert told["base"]["location"] == f"http://***@{server}/base"
    assert {"report.html", "plan.json", "search.json", "merged"} <= {path.name for path in (left / "run").iterdir()}
    assert f"http://***@{server}/donor" in (left / "run" / "report.html").read_text()
    assert list(ray_files.rglob("*.log")), "Ray did write there"
    assert (left / "mlflow.db").stat().st_size > 0
    assert found_in(left) == []
    assert found_in(ray_files) == []
    assert found_in(tmp_path / "cache") == []
