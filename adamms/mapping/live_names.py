"""The names of a checkpoint's tensors in a live model, whose library may have renamed them on loading."""

from collections.abc import Iterable, Mapping

from adamms.checkpoint import Checkpoint
from adamms.mapping.language_model import Segment
from adamms.mapping.planner import view_of, view_of_shapes


def live_names(
    checkpoint: Checkpoint, architecture: str | None, live: Mapping[str, tuple[int, ...]], wanted: Iterable[str]
) -> dict[str, str]:
    """Checkpoint name -> live name of each wanted tensor: the two hold the same canonical rows in the same order.

    Args:
        live: the live model's parameters, name -> shape.

    Raises:
        RuntimeError: a wanted tensor has no counterpart of its shape in the live model.
    """
    view = view_of(checkpoint, architecture, "base")
    there = view_of_shapes(checkpoint, architecture, live, "base")
    by_content = {_content(segments): name for name, segments in there.segments.items()}
    names, missing = {}, []
    for name in wanted:
        found = by_content.get(_content(view.segments[name]))
        if found is None or live[found] != checkpoint.tensors[name].shape:
            missing.append(name)
        else:
            names[name] = found
    if missing:
        raise RuntimeError(f"the live model has no counterpart of {len(missing)} tensors, first {missing[0]!r}")
    return names


def _content(segments: Iterable[Segment]) -> tuple[tuple[int, int, str, int, str | None], ...]:
    return tuple((s.start, s.stop, s.canonical, s.canonical_start, s.expert) for s in segments)
