"""The one exception for what a user can mend."""

import errno
import re
from collections.abc import Sequence
from typing import Self

from adamms.addresses import mask

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a disk without room, which the user can mend."""
UNUSABLE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}
)
"""Errors of a path that the user has to choose otherwise, or to open."""


def first_line(error: BaseException) -> str:
    """What an error of another library says, in one line, and its kind where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


class UserError(Exception):
    """Something the user can mend: one line saying what, where, and how; the command line exits with 2.

    The line holds no secrets of addresses, and no control characters, which names in foreign files may have.
    """

    def __init__(self, text: str) -> None:
        super().__init__(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: repr(found[0])[1:-1], mask(text)))

    @classmethod
    def from_problems(cls, problems: Sequence[str]) -> Self:
        """All problems of one check in one line, so that nobody mends them one run at a time."""
        return cls("; ".join(problems))
