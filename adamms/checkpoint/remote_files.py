"""The files of a remote folder, through fsspec: on the Hub, or behind a URL (https://, s3://, gs://, memory://)."""

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from adamms.addresses import mask
from adamms.errors import UserError, first_line
from adamms.support.files import is_folder
from adamms.support.urls import file_system_of


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
            files = [entry for entry in self.filesystem.ls(self.root, detail=True) if entry["type"] == "file"]
            sizes = (self.filesystem.size(e["name"]) if e["size"] is None else e["size"] for e in files)  # None: http
            return {e["name"].rsplit("/", 1)[-1]: int(size) for e, size in zip(files, sizes, strict=True)}
        except Exception as error:
            self._fail(error)

    def read(self, name: str, start: int, stop: int) -> bytes:
        """Bytes of a file, which has them."""
        try:
            data = self.filesystem.cat_file(f"{self.root}/{name}", start=start, end=stop, **self.read_options)
            if stop - start < len(data) == self.sizes[name]:  # a web server that knows no ranges gives all of it
                data = data[start:stop]
            if len(data) != stop - start:
                raise OSError(f"{len(data)} bytes of {name} came, {stop - start} were asked for")
            return bytes(data)
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
        """Fetches all files of these patterns, after a line on stderr, and removes the local copies of files, of any
        pattern, that are gone; `doing` says why."""
        names = sorted(name for name in self.sizes if any(fnmatch(name, pattern) for pattern in patterns))
        size = sum(self.sizes[name] for name in names)
        told = f"{mask(self.root)}: {doing} {len(names)} files ({size / 1e9:.2f} GB) into {self.folder}"
        print(told, file=sys.stderr)
        for name in names:
            self.fetch(name)
        self._remove_gone()

    def _remove_gone(self) -> None:
        """Removes, in the cache only, what is not there any more: an old index, adapter or chat template would be taken
        for a part of the model that has replaced its own."""
        if not self.folder.is_relative_to(cache_folder()) or not is_folder(self.folder):
            return
        try:
            for path in self.folder.iterdir():
                if path.name not in self.sizes and not path.name.startswith(".") and not is_folder(path):
                    (self.folder / f".{path.name}.version").unlink(missing_ok=True)
                    path.unlink(missing_ok=True)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: Exception) -> NoReturn:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(f"{self.root}: cannot be read ({reason}); check the address and access")


def _bar(name: str) -> Any:
    """A progress bar for a large file, if stderr is a terminal."""
    from fsspec.callbacks import TqdmCallback

    options = {"desc": name, "unit": "B", "unit_scale": True, "delay": 2, "disable": not sys.stderr.isatty()}
    return TqdmCallback(tqdm_kwargs=options)


def from_url(url: str) -> RemoteFiles:
    """The files of the folder at a URL, with a local cache folder of their own.

    Raises:
        UserError: the protocol is none that is read, or its package is not installed.
    """
    try:
        filesystem, root = file_system_of(url.rstrip("/"))
    except Exception as error:  # every file system checks its address in its own way
        raise UserError(
            f"{url}: no address that can be read ({first_line(error)}); "
            "install what this protocol needs, or give a local folder"
        ) from None
    return RemoteFiles(filesystem, root, cache_folder() / hashlib.sha256(url.encode()).hexdigest()[:16])


def cache_folder() -> Path:
    """Where remote checkpoints are kept: $ADAMMS_CACHE, else ~/.cache/adamms."""
    return Path(os.environ.get("ADAMMS_CACHE") or Path.home() / ".cache" / "adamms")
