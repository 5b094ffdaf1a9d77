"""What a search says happened, and who listens: progress bars, logs, Ray's metrics, MLflow, a notebook.

A search knows nothing of its listeners; they learn everything from the event, or from the run folder that it names.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adamms.engines.actor import UnitResult
from adamms.runs.candidate import CandidateRecord
from adamms.runs.run_folder import RunFolder
from adamms.selecting.selection import Selection


@dataclass(frozen=True)
class Event:
    """Something that happened in a search.

    Attributes:
        run: the folder of the search; what the event tells of is there already.
        title: what the search is called where several run at once; empty for the only one.
    """

    run: RunFolder
    title: str


@dataclass(frozen=True)
class Began(Event):
    """Plan, settings and prompts are in the run folder; nothing was asked yet."""


@dataclass(frozen=True)
class Doing(Event):
    """The search begins to do something else, or waits: `what` says for what, in words."""

    what: str


@dataclass(frozen=True)
class Asking(Event):
    """So many answers are missing and asked for now."""

    missing: int


@dataclass(frozen=True)
class UnitAnswered(Event):
    """A candidate has answered a block of prompts, or failed for good; the answers are stored.

    Attributes:
        coefficient: the name of what is searched, such as `alpha`.
    """

    result: UnitResult
    coefficient: str


@dataclass(frozen=True)
class Asked(Event):
    """What was asked for is answered, or nothing more is waited for."""


@dataclass(frozen=True)
class CandidateEnded(Event):
    """A candidate has answered everything, or failed, or the search stopped short of it."""

    record: CandidateRecord


@dataclass(frozen=True)
class Selected(Event):
    """The choice is in the run folder: `selection.json`, `scores.json`."""

    selection: Selection


@dataclass(frozen=True)
class Exported(Event):
    """Winners stand as checkpoints: task -> folder; the one for all tasks has no name."""

    checkpoints: Mapping[str, Path]


@dataclass(frozen=True)
class Reported(Event):
    """Report and figures are written."""


@dataclass(frozen=True)
class Ended(Event):
    """Nothing more follows; `status` is FINISHED, FAILED or KILLED, as in `status.json`."""

    status: str


Listener = Callable[[Event], None]
"""Is called with every event, in order, in the search's own thread; it must return soon."""


class Events:
    """Tells all listeners of one search.

    Args:
        title: what the search is called where several run at once.
    """

    def __init__(self, listeners: Iterable[Listener], run: RunFolder, title: str = "") -> None:
        self._listeners, self._run, self._title = tuple(listeners), run, title

    def say(self, kind: Callable[..., Event], **fields: Any) -> None:
        """Something happened: an event of this kind, with its own fields."""
        event = kind(self._run, self._title, **fields)
        for listener in self._listeners:
            listener(event)
