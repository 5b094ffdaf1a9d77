from dataclasses import dataclass
from typing import Self

from adamms.errors import UserError, first_line

RAISED_STARTS = 2  # an engine that raises while starting would raise again: it is tried once more
STARTS = 3  # one whose process dies while starting may have lacked memory for a while


@dataclass(frozen=True)
class Failure:
    """Why a call to an engine failed, as the pool needs it.

    Attributes:
        reason: in one line, without Ray's remote traceback.
        raised: the engine raised, and its process lives on; otherwise the process is gone.
        starts: how often in a row an engine may fail like this while starting before it is given up.
        user_error: the error itself, where it is one that the user can mend.
    """

    reason: str
    raised: bool
    starts: int
    user_error: UserError | None = None

    @classmethod
    def of(cls, error: Exception) -> Self:
        """What one of Ray's errors means."""
        import ray

        cause = getattr(error, "cause", None) or error
        reason = f"{type(cause).__name__}: {first_line(cause) if str(cause).strip() else _raised_at(error)}"
        if isinstance(error, ray.exceptions.RayTaskError):
            return cls(reason, True, RAISED_STARTS, cause if isinstance(cause, UserError) else None)
        # Ray restarts actors without end, so one that it calls dead cannot come back.
        starts = 0 if isinstance(error, ray.exceptions.ActorDiedError) else STARTS
        return cls(f"its process died (out of memory?): {first_line(error)}", False, starts)


def _raised_at(error: Exception) -> str:
    """Where a remote error without words was raised, as an `assert` does: the last frame of Ray's traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = max((i for i, line in enumerate(lines) if line.startswith('File "')), default=len(lines))
    return " ".join(reversed(lines[last : last + 2]))
