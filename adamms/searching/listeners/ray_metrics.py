"""Metrics of a running search on Ray's dashboard and at its Prometheus endpoint (`ray.util.metrics`)."""

from collections.abc import Callable
from functools import cache
from typing import Any

from adamms.engines.actor import UnitResult
from adamms.searching.events import Event, UnitAnswered

COUNTERS: dict[str, tuple[str, Callable[[UnitResult], float]]] = {
    "answers": ("prompts answered", lambda result: len(result.answers)),
    "failed": ("candidates given up", lambda result: result.error is not None),
    "decoded": ("tokens decoded one after the other", lambda result: result.effort.decoded_tokens),
    "drafted": ("tokens taken over from another candidate's answer", lambda result: result.effort.drafted_tokens),
    "moving": ("seconds spent on re-merging", lambda result: result.move_seconds),
    "generating": ("seconds spent on answering", lambda result: result.generate_seconds),
}


def count_in_ray(event: Event) -> None:
    """Counts every answered unit in `adamms_*`, with the tags search and actor."""
    if not isinstance(event, UnitAnswered):
        return
    result, metrics = event.result, _metrics()
    tags = {"search": event.title or event.run.folder.name, "actor": str(result.actor)}
    for name, (_, count) in COUNTERS.items():
        if value := count(result):  # Ray's counters refuse 0
            metrics[name].inc(value, tags)
    metrics["value"].set(result.candidate.value, tags)


@cache
def _metrics() -> dict[str, Any]:
    from ray.util.metrics import Counter, Gauge

    tags = ("search", "actor")
    found: dict[str, Any] = {name: Counter(f"adamms_{name}", text, tags) for name, (text, _) in COUNTERS.items()}
    return found | {"value": Gauge("adamms_alpha", "value of the coefficient at which an actor stands", tags)}
