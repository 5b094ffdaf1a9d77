"""The one exception for what a user can mend."""

import errno
from collections.abc import Sequence
from typing import Self

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a disk without room, which the user can mend."""


class UserError(Exception):
    """Something the user can mend: one line saying what, where, and how; the command line exits with 2."""

    @classmethod
    def from_problems(cls, problems: Sequence[str]) -> Self:
        """All problems of one check in one line, so that nobody mends them one run at a time."""
        return cls("; ".join(problems))
