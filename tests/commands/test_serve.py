"""A winner behind `adamms serve`: an image request over HTTP gives the answer that the search has stored."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import adamms
from adamms.commands import serve as serving
from adamms.demo import DEFAULT_TASK, PAIR
from adamms.errors import UserError
from adamms.runs.responses import read_responses
from tests.tracking.conftest import free_port


def test_what_cannot_be_served_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished search and no merge"):
        serving.serve(tmp_path)


@pytest.mark.slow
def test_the_rebuild_for_cpus_is_known_as_such() -> None:
    from vllm.platforms import vllm_version_matches_substr

    assert vllm_version_matches_substr("cpu") == serving.version_of_vllm().endswith("+cpu")


@pytest.mark.slow
def test_a_served_winner_answers_as_in_the_search(tmp_path: Path) -> None:
    lines = (PAIR / "prompts" / f"{DEFAULT_TASK}.jsonl").read_text(encoding="utf-8").splitlines()[:3]
    prompts = [json.loads(line) for line in lines]
    found = adamms.search(
        str(PAIR / "base"),
        str(PAIR / "donor"),
        prompts=prompts,
        run_dir=tmp_path / "run",
        searching={"metric": "either", "alphas": [0.0, 0.3, 0.6], "noise": 0},
        engine={"kind": "vllm", "max_tokens": 8},
    )
    stored = read_responses(tmp_path / "run")[found.alpha]
    port = free_port()
    command = [sys.executable, "-m", "adamms", "serve", str(tmp_path / "run"), "--port", str(port)]
    log = tmp_path / "server.log"
    with log.open("w") as out, subprocess.Popen(
        command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
    ) as server:  # fmt: skip
        try:
            wait_until_ready(port, server, log)
            for one in prompts:
                assert asked(port, str(one["prompt"]), one["images"][0]) == stored[str(one["id"])]
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, 15)


def wait_until_ready(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 540
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return
        time.sleep(1)
    raise AssertionError(f"no answer (exit status {server.poll()}): {log.read_text()[-3000:]}")


def asked(port: int, text: str, picture: object) -> str:
    """The answer over the OpenAI API."""
    assert base64.b64decode(str(picture).partition(",")[2])
    content = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": text}]
    body = {"model": "merged", "messages": [{"role": "user", "content": content}], "temperature": 0, "max_tokens": 8}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=300) as answer:
        return str(json.load(answer)["choices"][0]["message"]["content"])
