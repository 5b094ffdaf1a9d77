"""git-lfs pointers: the few lines that stand in for a large file where git was not told to fetch it."""

from pathlib import Path

from adamms.errors import UserError

_MARK = b"version https://git-lfs.github.com/spec/"


def refuse_pointer(path: Path, head: bytes) -> None:
    """Raises UserError if a file that begins with `head` is a pointer."""
    if head.startswith(_MARK):
        raise UserError(
            f"{path}: a git-lfs pointer, not the file itself; run `git lfs pull` in its repository, or download it"
        )
