"""The files of a remote folder, through fsspec: on the Hub, or behind any URL that it knows (s3://, gs://, memory://)."""

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from adamms.errors import UserError


@dataclass
class RemoteFiles:
    """The files of one remote folder, and the local folder for those that are fetched whole.

    Attributes:
        filesystem: an fsspec file system.
        root: the folder's path in it.
        read_options: arguments that make the file system read no more bytes than asked for.
    """

    filesystem: Any
    root: str
    folder: Path
    read_options: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Bytes of every file directly in the folder, by name."""
        try:
            entries = self.filesystem.ls(self.root, detail=True)
        except Exception as error:
            self._fail(error)
        return {e["name"].rstrip("/").rsplit("/", 1)[-1]: int(e["size"]) for e in entries if e["type"] == "file"}

    def read(self, name: str, start: int, stop: int) -> bytes:
        try:
            return bytes(self.filesystem.cat_file(f"{self.root}/{name}", start=start, end=stop, **self.read_options))
        except Exception as error:
            self._fail(error)

    def fetch(self, name: str) -> Path:
        """The local copy of a file, fetched first if it is missing or outdated; it appears complete or not at all."""
        target, mark = self.folder / name, self.folder / f".{name}.version"
        part = self.folder / f".{name}.{os.getpid()}.part"
        try:
            version = str(self.filesystem.checksum(f"{self.root}/{name}"))
            if target.is_file() and mark.is_file() and mark.read_text() == version:
                return target
            self.folder.mkdir(parents=True, exist_ok=True)
            mark.unlink(missing_ok=True)
            self.filesystem.get_file(f"{self.root}/{name}", str(part), callback=_bar(name))
            part.replace(target)
            mark.write_text(version)
        except Exception as error:
            self._fail(error)
        finally:
            part.unlink(missing_ok=True)
        return target

    def fetch_matching(self, patterns: Sequence[str], doing: str) -> None:
        """Fetches all files of these patterns, after a line on stderr; `doing` says why."""
        names = sorted(name for name in self.sizes if any(fnmatch(name, pattern) for pattern in patterns))
        size = sum(self.sizes[name] for name in names)
        print(f"{self.root}: {doing} {len(names)} files ({size / 1e9:.2f} GB) into {self.folder}", file=sys.stderr)
        for name in names:
            self.fetch(name)

    def _fail(self, error: Exception) -> NoReturn:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{self.root}: cannot be read ({type(error).__name__}: {reason}); check the address and access")


def _bar(name: str) -> Any:
    """A progress bar for a large file, if stderr is a terminal."""
    from fsspec.callbacks import TqdmCallback

    options = {"desc": name, "unit": "B", "unit_scale": True, "delay": 2, "disable": not sys.stderr.isatty()}
    return TqdmCallback(tqdm_kwargs=options)


def from_url(url: str) -> RemoteFiles:
    """The files of the folder at a URL, with a local cache folder of their own.

    Raises:
        UserError: the protocol is unknown, or its package is not installed.
    """
    import fsspec

    try:
        filesystem, root = fsspec.core.url_to_fs(url.rstrip("/"))
    except (ImportError, ValueError) as error:
        raise UserError(f"{url}: {error}; install what this protocol needs, or give a local folder") from None
    return RemoteFiles(filesystem, root, cache_folder() / hashlib.sha256(url.encode()).hexdigest()[:16])


def cache_folder() -> Path:
    """Where remote checkpoints are kept: $ADAMMS_CACHE, else ~/.cache/adamms."""
    return Path(os.environ.get("ADAMMS_CACHE") or Path.home() / ".cache" / "adamms")
