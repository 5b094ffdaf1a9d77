"""Finding a model's files from what the user gave: a folder, a Hub id with optional `@revision`, or a URL."""

import fcntl
import hashlib
import os
import re
import stat
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from adamms.checkpoint.checkpoint import ADAPTER, MODEL, Checkpoint
from adamms.checkpoint.remote_files import RemoteFiles, from_url
from adamms.errors import UserError, first_line
from adamms.support.files import expanded, is_file, is_folder

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_COMMIT = re.compile("[0-9a-f]{40}")
_URL = re.compile(r"[a-z][a-z0-9+]+://.+")
TERMS = ("LICENSE", "LICENCE", "NOTICE", "USE_POLICY")
"""How the names of files begin that say on which terms a model may be used."""
SPEAKERS = "spk_dict.pt"
"""The voices of Qwen2.5-Omni, without which transformers does not load it; pickled, so AdaMMS only copies it."""
# What a merge needs of a repository: weights, configuration, tokenizer and processor, remote code, model card, terms.
SMALL_FILES = ["*.json", "*.model", "*.txt", "*.jinja", "*.py", "*.tiktoken", "README.md", SPEAKERS]
SMALL_FILES += [f"{name}*" for name in TERMS]
WEIGHTS = ["*.safetensors", "*.bin"]
_OTHER_FORMATS = ["original/*", "onnx/*", "gguf/*"]  # the same weights in other formats


def resolve(location: str, weights: bool = True) -> Path | RemoteFiles:
    """The local folder of `location`, fetched first if it is remote.

    Args:
        weights: False to fetch everything but the weights; these can then be read through the returned `RemoteFiles`.

    Raises:
        UserError: it is neither a folder nor a Hub id or URL that can be fetched, or holds GGUF files only.
    """
    if _URL.fullmatch(location):
        files = from_url(location)
        _refuse_gguf(location, files.sizes)
        with fetch_lock(location):
            if weights:
                files.fetch_matching([*SMALL_FILES, *WEIGHTS], "fetching")
                return files.folder
            files.fetch_matching(SMALL_FILES, "reading headers and samples; fetching")
            return files
    folder = expanded(location)
    if is_folder(folder):
        _refuse_gguf(location, [path.name for path in folder.iterdir()])
        return folder.resolve()
    if is_file(folder):
        _refuse_gguf(location, [folder.name])
        raise UserError(f"{location}: a file; give the folder that it is in")
    if folder.is_absolute() or location.startswith((".", "~")) or not _HUB_ID.fullmatch(location):
        raise UserError(f"{location}: no such folder, and not a Hub id like owner/name[@revision]")
    with fetch_lock(location):
        return _from_hub(location, weights)


def fetch_small_files(location: str) -> Path:
    """The local folder with everything of a model but its weights, fetched first if it is remote.

    Raises:
        UserError: it is neither a folder nor a Hub id or URL that can be fetched.
    """
    if _URL.fullmatch(location) or is_folder(expanded(location)) or not _HUB_ID.fullmatch(location):
        place = resolve(location, weights=False)
        return place if isinstance(place, Path) else place.folder
    with fetch_lock(location):
        return _snapshot(location, allow_patterns=SMALL_FILES)


def fetch_from_hub(name: str, weights: bool) -> Path:
    """The local folder of a repository of the Hub, whatever else of this name there may be on this machine.

    Args:
        weights: False to fetch everything but the weights.

    Raises:
        UserError: the Hub does not give it.
    """
    with fetch_lock(name):
        return _snapshot(name, allow_patterns=[*SMALL_FILES, *(_weight_patterns(name) if weights else [])])


def is_hub_id(name: str) -> bool:
    """Whether a name is an owner's repository, with `@revision` or without, and no path."""
    return bool(_HUB_ID.fullmatch(name)) and not any(part.startswith(".") for part in name.split("/"))


def is_place(location: str) -> bool:
    """Whether there is a folder with files at this path or URL."""
    if not _URL.fullmatch(location):
        return is_folder(expanded(location))
    try:
        return bool(from_url(location).sizes)
    except UserError:  # comes again from whatever place is meant
        return False


def could_be_place(location: str) -> bool:
    """Whether this is a folder, or has the form of a Hub id or a URL."""
    named = _URL.fullmatch(location) or (_HUB_ID.fullmatch(location) and not location.startswith("."))
    return bool(named) or is_folder(expanded(location))


def _refuse_gguf(location: str, names: Collection[str]) -> None:
    found = [name for name in names if name.endswith(".gguf")]
    if found and not MODEL.among(names) and not ADAPTER.among(names):
        raise UserError(
            f"{location}: {found[0]} is GGUF, llama.cpp's format, mostly quantised; give the checkpoint in safetensors "
            "that it was made from"
        )


@contextmanager
def fetch_lock(location: str) -> Iterator[None]:
    """Lets one process of this machine fetch a model, while others wait and then find it in the cache."""
    file = _locks_folder() / hashlib.sha256(location.encode()).hexdigest()[:16]
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _locks_folder() -> Path:
    """A folder among the temporary files, which all users of a machine share, that nobody but this one can write to.

    Raises:
        UserError: somebody else has put something in its place, whose links would lead to files of this user.
    """
    folder = Path(tempfile.gettempdir(), f"adamms-locks-{os.getuid()}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise UserError(
            f"{folder}: expected a folder that is yours and open to nobody else, for locks; remove it, or set TMPDIR "
            "to a folder of your own"
        )
    return folder


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
    files = RemoteFiles(HfFileSystem(), root, folder, {"cache_type": "none"})
    _refuse_gguf(location, files.sizes)
    return files


def _weight_patterns(location: str) -> list[str]:
    """safetensors only, where the repository has both kinds.

    Raises:
        UserError: it holds GGUF files only.
    """
    from huggingface_hub import HfApi

    repo, _, revision = location.partition("@")
    try:
        names = HfApi().list_repo_files(repo, revision=revision or None)
    except Exception:  # offline, or no such repository: what is cached, or the next call's error
        return WEIGHTS
    _refuse_gguf(location, names)
    return WEIGHTS[:1] if any(name in names for name in MODEL.weights[:2]) else WEIGHTS


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
    for files in (MODEL, ADAPTER):
        try:
            if Checkpoint(folder, files=files).tensors:
                return True
        except UserError:
            continue
    return False
