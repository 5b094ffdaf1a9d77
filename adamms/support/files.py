"""Files: written whole or not at all and without secrets, read only where they are files of a sensible size."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from adamms.addresses import mask, masked
from adamms.errors import UserError


def write_whole(path: Path, text: str) -> None:
    """Writes a text file in one step; its folder is made where it is missing.

    Secrets of addresses in it are masked. Halves of surrogate pairs, which are no text, are written as escapes.
    """
    _write(path, mask(text))


def write_json(path: Path, data: Any) -> None:
    """Likewise, as JSON that a person can read."""
    _write(path, json.dumps(masked(data), indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    temporary.replace(path)


def read_regular(path: Path, limit: int) -> bytes:
    """The bytes of a file; never waits for a pipe, and reads no device and nothing larger than `limit` bytes.

    Raises:
        OSError: it is missing, no regular file, or too large; `strerror` says what.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(0, "not a regular file", str(path))
        if about.st_size > limit:
            raise OSError(0, f"{about.st_size} bytes, more than {limit}", str(path))
        return file.read(limit + 1)


def is_file(path: Path) -> bool:
    """Whether a path is a regular file; unlike Path's own, False for names that no file can have."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Likewise for folders."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_text(text: str) -> bool:
    """Whether it can be written in UTF-8: half of a surrogate pair, which JSON can spell, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def expanded(path: str | Path) -> Path:
    """A path with its `~` resolved.

    Raises:
        UserError: there is no such user, or it can be no path.
    """
    if "\0" in str(path):
        raise UserError(f"{path}: no path has a NUL character")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{path}: there is no such user; give the path in full") from None


def check_writable(folder: Path) -> None:
    """Raises UserError where a folder, which may not exist yet, could not be made or written to."""
    existing = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
    longest = os.pathconf(existing if existing.is_dir() else "/", "PC_NAME_MAX")
    if not existing.is_dir():
        raise UserError(f"{folder}: {existing} is not a folder; give another path")
    if any(len(os.fsencode(part)) > longest for part in folder.parts):
        raise UserError(f"{folder}: a name may have {longest} bytes here; give a shorter one")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{folder}: {existing} cannot be written to; give another path, or the permission")
