"""Finding a model's files from what the user gave: a folder, a Hub id with optional `@revision`, or a URL."""

import fcntl
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from adamms.checkpoint.checkpoint import WEIGHT_FILES, Checkpoint
from adamms.checkpoint.remote import RemoteCheckpoint
from adamms.checkpoint.remote_files import RemoteFiles, from_url
from adamms.errors import UserError, first_line
from adamms.support.files import expanded, is_folder

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_COMMIT = re.compile("[0-9a-f]{40}")
_URL = re.compile(r"[a-z][a-z0-9+]+://.+")
# What a merge needs of a repository: weights, configuration, tokenizer and processor, remote code.
SMALL_FILES = ["*.json", "*.model", "*.txt", "*.jinja", "*.py", "*.tiktoken"]
WEIGHTS = ["*.safetensors", "*.bin"]
_OTHER_FORMATS = ["original/*", "onnx/*", "gguf/*"]  # the same weights in other formats


def open_checkpoint(location: str, *, weights: bool = True, full: bool = False) -> Checkpoint:
    """Opens a local folder, a Hub id with optional `@revision`, or a URL that fsspec knows (s3://...).

    Args:
        weights: False to fetch, of a remote checkpoint's weights, only the headers and samples that are read.
        full: whether every byte of the weights counts in its digest.

    Raises:
        UserError: there is nothing at the location, or it is not a checkpoint.
    """
    place = resolve(location, weights)
    if isinstance(place, RemoteFiles):
        checkpoint: Checkpoint = RemoteCheckpoint(place, location)
    else:
        checkpoint = Checkpoint(place, location, full)
    _ = checkpoint.tensors  # reads the headers, which may be broken
    return checkpoint


def resolve(location: str, weights: bool = True) -> Path | RemoteFiles:
    """The local folder of `location`, fetched first if it is remote.

    Args:
        weights: False to fetch everything but the weights; these can then be read through the returned `RemoteFiles`.

    Raises:
        UserError: it is neither a folder nor a Hub id or URL that can be fetched.
    """
    if _URL.fullmatch(location):
        files = from_url(location)
        with fetch_lock(location):
            if weights:
                files.fetch_matching([*SMALL_FILES, *WEIGHTS], "fetching")
                return files.folder
            files.fetch_matching(SMALL_FILES, "reading headers and samples; fetching")
            return files
    folder = expanded(location)
    if is_folder(folder):
        return folder.resolve()
    if folder.is_absolute() or location.startswith((".", "~")) or not _HUB_ID.fullmatch(location):
        raise UserError(f"{location}: no such folder, and not a Hub id like owner/name[@revision]")
    with fetch_lock(location):
        return _from_hub(location, weights)


@contextmanager
def fetch_lock(location: str) -> Iterator[None]:
    """Lets one process of this machine fetch a model, while others wait and then find it in the cache."""
    folder = Path(tempfile.gettempdir(), f"adamms-locks-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / hashlib.sha256(location.encode()).hexdigest()[:16]).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _from_hub(location: str, weights: bool) -> Path | RemoteFiles:
    repo, _, revision = location.partition("@")
    if weights:
        return _snapshot(location, allow_patterns=[*SMALL_FILES, *_weight_patterns(location)])
    folder = _snapshot(location, allow_patterns=SMALL_FILES)
    if _has_weights(folder):
        return folder
    from huggingface_hub import HfFileSystem

    print(f"{location}: reading headers and samples of the weights from the Hub", file=sys.stderr)
    revision = folder.name if _COMMIT.fullmatch(folder.name) else revision  # the one that the small files are of
    root = f"{repo}@{quote(revision, safe='')}" if revision else repo
    return RemoteFiles(HfFileSystem(), root, folder, {"cache_type": "none"})


def _weight_patterns(location: str) -> list[str]:
    """safetensors only, where the repository has both kinds."""
    from huggingface_hub import HfApi

    repo, _, revision = location.partition("@")
    try:
        names = HfApi().list_repo_files(repo, revision=revision or None)
    except Exception:  # offline, or no such repository: what is cached, or the next call's error
        return WEIGHTS
    return WEIGHTS[:1] if any(name in names for name in WEIGHT_FILES[:2]) else WEIGHTS


def _snapshot(location: str, **options: Any) -> Path:
    from huggingface_hub import snapshot_download

    repo, _, revision = location.partition("@")
    try:
        return Path(snapshot_download(repo, revision=revision or None, ignore_patterns=_OTHER_FORMATS, **options))
    except Exception as error:  # the Hub's client, its HTTP library and the disk each raise their own
        raise UserError(
            f"{location}: no such folder here, and the Hub did not give it ({first_line(error)}); "
            "check the name or log in"
        ) from None


def _has_weights(folder: Path) -> bool:
    try:
        return bool(Checkpoint(folder).tensors)
    except UserError:
        return False
