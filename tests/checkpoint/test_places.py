"""Where checkpoints come from: folders in every form, the Hub (its client replaced by name), URLs through fsspec."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import fsspec
import pytest
import torch
from safetensors.torch import save_file

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.checkpoint.digest import EVERY
from adamms.checkpoint.remote import RemoteCheckpoint
from adamms.checkpoint.resolve import fetch_lock
from adamms.commands.settings import MapSettings
from adamms.config import load_settings
from adamms.errors import UserError
from adamms.mapping import plan_pair
from tests.support import checkpoints as c
from tests.support.adapters import write_adapter


def write(folder: Path, seed: int = 1, **options: Any) -> Path:
    weights = c.tuned(c.language_model(), seed)
    return c.write_checkpoint(
        folder, c.llama_names()(weights, c.GQA), {**c.GQA.config, "model_type": "qwen2"}, c.words(37), **options
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADAMMS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("shards", [1, 4])
def test_every_form_reads_alike(tmp_path: Path, kind: str, shards: int) -> None:
    expected = c.llama_names()(c.tuned(c.language_model(), 1), c.GQA)
    checkpoint = open_checkpoint(str(write(tmp_path / "m", kind=kind, shards=shards)))
    c.assert_same(c.read_all(checkpoint), expected)
    part = checkpoint.read("lm_head.weight", 5, 50)
    torch.testing.assert_close(part, expected["lm_head.weight"].reshape(-1)[5:50])
    assert len(checkpoint.weight_files) == shards


def test_the_digest_goes_with_the_model_not_with_its_folder(tmp_path: Path) -> None:
    first = open_checkpoint(str(write(tmp_path / "a")))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert open_checkpoint(str(tmp_path / "b")).digest == first.digest
    assert open_checkpoint(str(write(tmp_path / "c", seed=2))).digest != first.digest


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_every_tensor_counts_in_the_digest(tmp_path: Path, kind: str) -> None:
    """Whichever is changed: between places of the file that are far apart, many small tensors lie."""
    weights = c.llama_names()(c.tuned(c.language_model(), 1), c.GQA)
    digests = [open_checkpoint(str(write(tmp_path / "m", kind=kind))).digest]
    for number, name in enumerate(weights):
        changed = {other: torch.zeros_like(w) if other == name else w for other, w in weights.items()}
        config = {**c.GQA.config, "model_type": "qwen2"}
        folder = c.write_checkpoint(tmp_path / f"m{number}", changed, config, c.words(37), kind=kind)
        digests.append(open_checkpoint(str(folder)).digest)
    assert len(set(digests)) == 1 + len(weights)


def test_a_large_tensor_is_sampled_all_through_and_a_full_digest_misses_nothing(tmp_path: Path) -> None:
    size = 3 * EVERY
    (tmp_path / "config.json").write_text("{}")
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(size, dtype=torch.uint8)}, file)
    start = open_checkpoint(str(tmp_path)).tensors["a"].offset

    def changed(begin: int, end: int) -> tuple[bool, bool]:
        """Whether the sampled digest sees it, and the full one."""
        before = [open_checkpoint(str(tmp_path), full=full).digest for full in (False, True)]
        kept = file.read_bytes()
        with file.open("r+b") as opened:
            opened.seek(start + begin)
            opened.write(bytes(end - begin))
        after = [open_checkpoint(str(tmp_path), full=full).digest for full in (False, True)]
        file.write_bytes(kept)
        return before[0] != after[0], before[1] != after[1]

    assert changed(EVERY // 2, EVERY // 2 + EVERY) == (True, True), "a stretch as long as the way to the next sample"
    assert changed(0, 1) == changed(size - 1, size) == (True, True)
    assert changed(10_000, 10_001) == (False, True)


@pytest.fixture
def remote() -> Any:
    filesystem = fsspec.filesystem("memory")
    yield filesystem
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("shards", [1, 3])
def test_a_url_is_fetched_once_and_says_so(
    tmp_path: Path, cache: Path, remote: Any, capsys: pytest.CaptureFixture[str], kind: str, shards: int
) -> None:
    local = write(tmp_path / "m", kind=kind, shards=shards)
    remote.put(str(local), "/bucket/m", recursive=True)
    checkpoint = open_checkpoint("memory://bucket/m")
    c.assert_same(c.read_all(checkpoint), c.read_all(open_checkpoint(str(local))))
    assert checkpoint.folder.is_relative_to(cache)
    assert checkpoint.location == "memory://bucket/m"
    said = capsys.readouterr()
    assert f"into {checkpoint.folder}" in said.err
    assert said.out == ""
    stamps = {path: path.stat().st_mtime_ns for path in checkpoint.folder.iterdir()}
    open_checkpoint("memory://bucket/m")
    assert {path: path.stat().st_mtime_ns for path in checkpoint.folder.iterdir()} == stamps


def test_a_file_url_too(tmp_path: Path, cache: Path) -> None:
    local = write(tmp_path / "m", shards=2)
    checkpoint = open_checkpoint(f"file://{local}")
    assert checkpoint.folder.is_relative_to(cache)
    c.assert_same(c.read_all(checkpoint), c.read_all(open_checkpoint(str(local))))


def test_what_changed_at_its_url_is_fetched_again(tmp_path: Path, cache: Path, remote: Any) -> None:
    remote.put(str(write(tmp_path / "a")), "/bucket/m", recursive=True)
    before = open_checkpoint("memory://bucket/m").read("lm_head.weight")
    remote.put_file(str(write(tmp_path / "b", seed=2) / "model.safetensors"), "/bucket/m/model.safetensors")
    assert not torch.equal(open_checkpoint("memory://bucket/m").read("lm_head.weight"), before)


@pytest.mark.parametrize("weights", [True, False])
def test_what_is_gone_at_its_url_does_not_stay(tmp_path: Path, cache: Path, remote: Any, weights: bool) -> None:
    """A model of several files, with a chat template and an adapter beside it, was replaced by one of a single file."""
    old, new = write(tmp_path / "a", shards=3), write(tmp_path / "b", seed=2)
    for name in ("chat_template.jinja", "adapter_config.json"):
        (old / name).write_text("{}")
    remote.put(str(old), "/bucket/m", recursive=True)
    remote.put(str(old), "/bucket/other", recursive=True)
    other = open_checkpoint("memory://bucket/other").folder
    folder = open_checkpoint("memory://bucket/m").folder
    (folder / "kept").mkdir()
    remote.rm("/bucket/m", recursive=True)
    remote.put(str(new), "/bucket/m", recursive=True)
    found = open_checkpoint("memory://bucket/m", weights=weights)
    c.assert_same(c.read_all(found), c.read_all(open_checkpoint(str(new))))
    files = {"config.json", "tokenizer.json", *(["model.safetensors"] if weights else [])}
    assert {path.name for path in folder.iterdir()} == {"kept", *files, *(f".{name}.version" for name in files)}
    assert {path.name for path in old.iterdir()} <= {path.name for path in other.iterdir()}
    c.assert_same(c.read_all(open_checkpoint("memory://bucket/m")), c.read_all(open_checkpoint(str(new))))


def test_a_single_file_beside_an_index_is_the_model_as_for_transformers(tmp_path: Path) -> None:
    for kind in ("safetensors", "bin"):
        folder = write(tmp_path / kind, shards=3, kind=kind)
        write(tmp_path / kind, seed=2, kind=kind)
        (file,) = open_checkpoint(str(folder)).weight_files
        assert file.name in ("model.safetensors", "pytorch_model.bin")


def test_map_fetches_headers_and_samples_only(
    tmp_path: Path, cache: Path, remote: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        remote.put(str(write(tmp_path / name, seed, shards=2)), f"/bucket/{name}", recursive=True)
    read = []
    original = type(remote).cat_file

    def counted(self: Any, path: str, start: int, end: int, **options: Any) -> bytes:
        read.append(end - start)
        return bytes(original(self, path, start=start, end=end, **options))

    monkeypatch.setattr(type(remote), "cat_file", counted)
    settings = load_settings(MapSettings, None, [], {"base": "memory://bucket/a", "donor": "memory://bucket/b"})
    plan, base, *_ = plan_pair(settings, weights=False)
    assert isinstance(base, RemoteCheckpoint)
    assert len(plan.merged) == len(plan.tensors)
    assert "ancestry: cosine" in plan.notes[-1]
    assert not list(cache.rglob("*.safetensors"))
    assert len(read) == 2 * (2 + 8)  # each model: a read for each header, eight samples
    torch.testing.assert_close(
        base.read("lm_head.weight", 3, 9), Checkpoint(tmp_path / "a").read("lm_head.weight", 3, 9)
    )
    assert plan.fingerprint == plan_pair(settings, weights=False).plan.fingerprint


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://nothing/here", "cannot be read"),
        ("s3://bucket/x", "no address that can be read|cannot be read"),
        (
            "gibberish://x/y",
            "gibberish:// is not read; http, .* are.*install what this protocol needs",
        ),
        ("zip://model.zip", "zip:// is not read"),
        ("reference://x", "reference:// is not read"),
        ("reference://::https://127.0.0.1:9/refs.json", "a chain of addresses"),
        ("https://127.0.0.1:9/a::memory://b", "a chain of addresses"),
        ("http://127.0.0.1:9/model", "cannot be read"),
        ("sftp://host/x", "sftp:// is not read"),
        ("~nosuch/model", "no such user"),
    ],
)
def test_urls_that_lead_nowhere(cache: Path, url: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_checkpoint(url)
    assert not cache.exists()


COMMIT = "1" * 40


class StubHub(BaseHTTPRequestHandler):
    """The few answers of the Hub that its own client asks for, over local folders; counts bytes of weights."""

    root: Path
    weight_bytes: list[int]

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, body: bool = True) -> None:
        path = unquote(self.path.partition("?")[0])
        if found := re.fullmatch(r"/api/models/(\w+/\w+)/(revision|tree)/([^/]+)/?", path):
            repo, kind, revision = found.groups()
            assert revision in ("v2", "main", COMMIT)
            files = sorted((self.root / repo).glob("*")) if (self.root / repo).is_dir() else []
            tree = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": "0" * 40} for f in files]
            info = {"id": repo, "sha": COMMIT, "siblings": [{"rfilename": f.name} for f in files]}
            self.answer(200 if files else 404, json.dumps(tree if kind == "tree" else info).encode(), body)
        elif found := re.fullmatch(r"/(\w+/\w+)/resolve/([^/]+)/(.+)", path):
            file = self.root / found[1] / found[3]
            if not file.is_file():
                return self.answer(404, b"", body, {"X-Error-Code": "EntryNotFound"})
            data, status, headers = file.read_bytes(), 200, {"ETag": f'"{file.name}"', "X-Repo-Commit": COMMIT}
            if (span := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))) is not None:
                start, stop = int(span[1]), int(span[2]) + 1
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
                data, status = data[start:stop], 206
            if body and file.suffix == ".safetensors":
                self.weight_bytes.append(len(data))
            self.answer(status, data, body, headers)
        else:
            self.answer(404, b"", body)
        return None

    def answer(self, status: int, data: bytes, body: bool, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


PLAN = """
import sys
from adamms.checkpoint.digest import EVERY
from adamms.checkpoint.remote import RemoteCheckpoint
from adamms.checkpoint.resolve import fetch_lock
from adamms.commands.settings import MapSettings
from adamms.config import load_settings
from adamms.mapping import plan_pair
settings = load_settings(MapSettings, None, [], {"base": "o/a@v2", "donor": "o/b"})
plan, base, *_ = plan_pair(settings, weights=False)
print(isinstance(base, RemoteCheckpoint), len(plan.merged) == len(plan.tensors), plan.notes[-1])
if sys.argv[1:] == ["whole"]:
    print(plan_pair(settings).base.weight_files)
"""


@pytest.fixture
def stub_hub(tmp_path: Path) -> Iterator[tuple[type[StubHub], dict[str, str]]]:
    """The Hub's own client against a local server, in a process of its own, since it reads its settings at import."""
    handler = type("Handler", (StubHub,), {"root": tmp_path / "hub", "weight_bytes": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    online = {
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_ENDPOINT": address,
        "HF_HOME": str(tmp_path / "home"),
    }
    yield handler, {**os.environ, **online}
    server.shutdown()


def test_the_hubs_own_client_is_asked_for_headers_and_samples_only(
    tmp_path: Path, stub_hub: tuple[type[StubHub], dict[str, str]]
) -> None:
    handler, environment = stub_hub
    for name, seed in (("a", 1), ("b", 2)):
        write(tmp_path / "hub" / "o" / name, seed, shards=2)
    command = [sys.executable, "-c", PLAN, "whole"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert found.returncode == 0, found.stderr
    first, second = found.stdout.splitlines()
    assert first.startswith("True True ancestry: cosine 0.9")
    assert "o/a@v2: reading headers and samples" in found.stderr
    assert "model-00002-of-00002.safetensors" in second
    sizes = [path.stat().st_size for path in (tmp_path / "hub").rglob("*.safetensors")]
    planned = handler.weight_bytes[: -len(sizes)]  # then the files, whole
    assert len(planned) == 2 * (2 + 8)
    assert sorted(handler.weight_bytes[-len(sizes) :]) == sorted(sizes)


class Hub:
    """Stands in for the Hub's client, which cannot be reached here: the same three calls, on local folders."""

    def __init__(self, root: Path) -> None:
        self.root, self.downloads = root, []  # type: ignore[var-annotated]

    def snapshot_download(self, repo: str, revision: str | None, allow_patterns: list[str], **options: Any) -> str:
        from fnmatch import fnmatch

        source = self.root / "hub" / repo
        if not source.is_dir():
            raise OSError(f"404 Client Error: {repo}\nmore lines")
        target = self.root / "snapshots" / f"{repo}@{revision}"
        target.mkdir(parents=True, exist_ok=True)
        for path in source.iterdir():
            if any(fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, target)
                self.downloads.append(path.name)
        return str(target)

    def list_repo_files(self, repo: str, revision: str | None) -> list[str]:
        return [path.name for path in (self.root / "hub" / repo).iterdir()]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    import huggingface_hub
    from fsspec.implementations.dirfs import DirFileSystem

    found = Hub(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", found.snapshot_download)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: found)

    def filesystem() -> Any:
        class AtRevision(DirFileSystem):  # type: ignore[misc]
            def _join(self, path: Any) -> Any:
                return super()._join(path.replace("@v2", "") if isinstance(path, str) else path)

        return AtRevision(path=str(tmp_path / "hub"), fs=fsspec.filesystem("file"))

    monkeypatch.setattr(huggingface_hub, "HfFileSystem", filesystem)
    return found


def test_a_hub_id_with_its_revision(tmp_path: Path, hub: Hub) -> None:
    write(tmp_path / "hub" / "owner" / "model", shards=2)
    shutil.copy(write(tmp_path / "bin", kind="bin") / "pytorch_model.bin", tmp_path / "hub" / "owner" / "model")
    checkpoint = open_checkpoint("owner/model@v2")
    assert checkpoint.folder == tmp_path / "snapshots" / "owner" / "model@v2"
    assert len(checkpoint.weight_files) == 2
    assert "pytorch_model.bin" not in hub.downloads  # the same weights once more


@pytest.mark.parametrize("weights", [True, False])
def test_what_a_model_needs_and_its_terms_are_fetched(
    tmp_path: Path, hub: Hub, cache: Path, remote: Any, weights: bool
) -> None:
    folder = write(tmp_path / "hub" / "owner" / "model")
    needed = {"LICENSE", "LICENCE", "NOTICE", "USE_POLICY.md", "LICENSE-MODEL", "spk_dict.pt"}
    for name in (*needed, "optimizer.pt", "figure.png"):
        (folder / name).write_bytes(b"no pickle")
    remote.put(str(folder), "/bucket/m", recursive=True)
    small = needed | {"config.json", "tokenizer.json"}
    for place in ("owner/model", "memory://bucket/m"):
        fetched = {path.name for path in open_checkpoint(place, weights=weights).folder.iterdir()}
        assert {name for name in fetched if not name.startswith(".")} - {"model.safetensors"} == small


def test_map_of_a_hub_id_downloads_no_weights(tmp_path: Path, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        write(tmp_path / "hub" / "owner" / name, seed, shards=2)
    settings = load_settings(MapSettings, None, [], {"base": "owner/a@v2", "donor": "owner/b@v2"})
    plan = plan_pair(settings, weights=False).plan
    assert len(plan.merged) == len(plan.tensors)
    assert not any(name.endswith(".safetensors") for name in hub.downloads)
    assert "owner/a@v2: reading headers and samples" in capsys.readouterr().err
    open_checkpoint("owner/a@v2")  # now it is there whole
    assert not isinstance(open_checkpoint("owner/a@v2", weights=False), RemoteCheckpoint)


@pytest.mark.parametrize("weights", [True, False])
def test_an_adapter_on_the_hub_alone_or_with_its_model(tmp_path: Path, hub: Hub, weights: bool) -> None:
    write(tmp_path / "hub" / "owner" / "model", shards=2)
    module = "model.layers.0.mlp.up_proj"
    factors = {f"{module}.lora_A.weight": torch.ones(2, 24), f"{module}.lora_B.weight": torch.ones(10, 2)}
    named = {"base_model_name_or_path": "owner/model", "revision": "v2"}
    write_adapter(tmp_path / "hub" / "me" / "lora", factors, **named)
    both, alone = (open_checkpoint(place, weights=weights) for place in ("owner/model@v2+me/lora@v2", "me/lora"))
    assert both.folder == alone.folder == tmp_path / "snapshots" / "owner" / "model@v2"
    assert both.changed == {f"{module}.weight"}
    assert [part.location for part in alone.parts] == ["owner/model@v2", "me/lora"]
    c.assert_same(c.read_all(alone), c.read_all(both))
    assert any(name.endswith(".safetensors") for name in hub.downloads) == weights


def test_a_hub_id_that_is_not_there(hub: Hub) -> None:
    with pytest.raises(UserError, match=r"no such folder here, and the Hub did not give it .404 Client Error: o/m."):
        open_checkpoint("o/m")


# ---- the locks of fetches, in a folder that every user of the machine can write to


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"adamms-locks-{os.getuid()}"


@pytest.mark.parametrize("kind", ["link", "dangling link", "open to others", "file"])
def test_a_place_for_locks_that_somebody_else_has_taken_is_refused(tmp_path: Path, locks: Path, kind: str) -> None:
    (tmp_path / "mine").mkdir()
    if kind == "file":
        locks.write_text("")
    elif kind == "open to others":
        locks.mkdir()
        locks.chmod(0o777)
    else:
        locks.symlink_to(tmp_path / ("mine" if kind == "link" else "gone"))
    words = r"expected a folder that is yours.*remove it, or set TMPDIR"
    with pytest.raises(UserError, match=words), fetch_lock("o/m"):
        pass
    assert not list((tmp_path / "mine").iterdir())


def test_a_lock_empties_no_file_that_a_link_leads_to(tmp_path: Path, locks: Path) -> None:
    with fetch_lock("o/m"):
        (lock,) = locks.iterdir()
        assert locks.stat().st_mode & 0o777 == 0o700
    with fetch_lock("o/m"):  # once more, now that it is there
        assert list(locks.iterdir()) == [lock]
    (tmp_path / "thesis.tex").write_text("years")
    lock.unlink()
    lock.symlink_to(tmp_path / "thesis.tex")
    with pytest.raises(OSError, match=lock.name), fetch_lock("o/m"):
        pass
    assert (tmp_path / "thesis.tex").read_text() == "years"
