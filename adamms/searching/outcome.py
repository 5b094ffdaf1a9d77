"""What a search has found: a choice for each task and one for all, and how many answers that took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from adamms.engines.noise import Noise
from adamms.searching.goal import Round
from adamms.selecting.selection import Selection


@dataclass(frozen=True)
class Saved:
    """How many answers a choice took, and how many it would have taken to ask every candidate everything; not less,
    where it went beyond the candidates that were given."""

    answers: int
    of: int

    @property
    def share(self) -> float:
        """What was not asked, 0 to 1."""
        return 1 - self.answers / self.of


@dataclass(frozen=True)
class Outcome:
    """The choice for all prompts, and each task's own.

    Attributes:
        tasks: name -> rounds; empty where there is one task only.
        noise: how many answers differ when a candidate is asked again: the chosen one or, where a donor scored the
            answers before the choice, the middle one; None where none was.
    """

    rounds: tuple[Round, ...]
    tasks: Mapping[str, tuple[Round, ...]]
    saved: Saved
    noise: Noise | None = None

    @property
    def selection(self) -> Selection:
        """The choice for all prompts together."""
        return self.rounds[-1].selection

    @property
    def selections(self) -> dict[str, Selection]:
        """Each task's choice, by name; "" is the one for all."""
        return {"": self.selection} | {name: rounds[-1].selection for name, rounds in self.tasks.items()}

    def with_selection(self, selection: Selection) -> Self:
        """With another choice for all prompts."""
        return replace(self, rounds=(*self.rounds[:-1], replace(self.rounds[-1], selection=selection)))

    def to_json(self) -> dict[str, Any]:
        """`selection.json`: the choice for all as `Selection.to_json` writes it, `effort`, `noise` where it was
        measured, and where there are several, `rounds` and `tasks` (name -> the same for that task)."""
        effort = {"answers": self.saved.answers, "of": self.saved.of, "saved": round(self.saved.share, 4)}
        found = _to_json(self.rounds) | {"effort": effort}
        if self.noise is not None:
            found["noise"] = {"asked": self.noise.asked, "differing": self.noise.differing}
        if self.tasks:
            found["tasks"] = {name: _to_json(rounds) for name, rounds in self.tasks.items()}
        return found


def _to_json(rounds: Sequence[Round]) -> dict[str, Any]:
    found = rounds[-1].selection.to_json()
    if len(rounds) > 1:
        found["rounds"] = [one.to_json() for one in rounds]
    return found
