"""Metrics of a running search on Ray's dashboard and at its Prometheus endpoint (`ray.util.metrics`)."""

from __future__ import annotations

from functools import cache
from typing import Any

from adamms.searching.events import Event, UnitAnswered


def count_in_ray(event: Event) -> None:
    """Counts every answered unit in `adamms_*`, with the tags search and actor."""
    if not isinstance(event, UnitAnswered):
        return
    result = event.result
    counted = {
        "answers": len(result.answers),
        "failed": int(result.error is not None),
        "decoded": result.effort.decoded_tokens,
        "drafted": result.effort.drafted_tokens,
        "moving": result.move_seconds,
        "generating": result.generate_seconds,
    }
    tags, metrics = {"search": event.title or event.run.folder.name, "actor": str(result.actor)}, _metrics()
    for name, value in counted.items():
        if value:  # Ray's counters refuse 0
            metrics[name].inc(value, tags)
    metrics["value"].set(result.candidate.value, tags)


@cache
def _metrics() -> dict[str, Any]:
    from ray.util.metrics import Counter, Gauge

    tags = ("search", "actor")
    counters = {
        "answers": "prompts answered",
        "failed": "candidates given up",
        "decoded": "tokens decoded one after the other",
        "drafted": "tokens taken over from another candidate's answer",
        "moving": "seconds spent on re-merging",
        "generating": "seconds spent on answering",
    }
    found: dict[str, Any] = {name: Counter(f"adamms_{name}", text, tags) for name, text in counters.items()}
    return found | {"value": Gauge("adamms_alpha", "value of the coefficient at which an actor stands", tags)}
