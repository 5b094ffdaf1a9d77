"""Where a checkpoint's tensors lie in a live model, whose library may have renamed or stacked them on loading."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from adamms.checkpoint import Checkpoint
from adamms.errors import UserError
from adamms.mapping.language_model import LanguageModelView, Segment
from adamms.mapping.planner import view_of, view_of_shapes


class LivePlace(NamedTuple):
    """Elements of a live parameter from `start` on, flattened: all of it, or one expert's part of a stack."""

    parameter: str
    start: int


def live_places(
    checkpoint: Checkpoint, architecture: str | None, live: Mapping[str, tuple[int, ...]], wanted: Iterable[str]
) -> dict[str, LivePlace]:
    """Where each wanted tensor of a checkpoint lies: the same canonical rows in the same order.

    Args:
        live: the live model's parameters, name -> shape.

    Raises:
        UserError: a wanted tensor does not lie in one piece in the live model.
    """
    view = view_of(checkpoint, architecture, "base")
    there = view_of_shapes(checkpoint, architecture, live, "base")
    places = {name: _place(view.segments[name], there) for name in wanted}
    found = {name: place for name, place in places.items() if place is not None}
    missing = [name for name in places if name not in found]
    if missing:
        raise UserError(
            f"{checkpoint.location}: transformers holds {len(missing)} tensors in another layout than the file, first "
            f"{missing[0]!r}, so that they cannot be merged in place; merge with `adamms merge`"
        )
    return found


def _place(segments: Iterable[Segment], there: LanguageModelView) -> LivePlace | None:
    """None unless all segments follow one another in one live parameter, in rows of the same length."""
    places = set()
    for segment in segments:
        held = there.by_canonical.get((segment.canonical, segment.expert), ())
        other = next((one for one in held if one.row == segment.row and _covers(one, segment)), None)
        if other is None:
            return None
        first = other.start + segment.canonical_start - other.canonical_start - segment.start
        places.add(LivePlace(str(other.tensor), first * max(segment.row, 1)))
    return places.pop() if len(places) == 1 else None


def _covers(other: Segment, segment: Segment) -> bool:
    """Whether a live segment holds all canonical rows of another."""
    ends = [one.canonical_start + one.stop - one.start for one in (other, segment)]
    return other.canonical_start <= segment.canonical_start and ends[1] <= ends[0]
