"""Who listens to a search beside MLflow: log lines, progress bars on stderr, Ray's metrics. Each is a `Listener`."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import Any

from adamms.engines.actor import UnitResult
from adamms.runs.values import format_value
from adamms.searching.events import Asked, Asking, Doing, Ended, Event, UnitAnswered
from adamms.support.progress import STDERR, count_bar

LOG = logging.getLogger("adamms.search")


def log_lines(event: Event) -> None:
    """Every answered unit at level info, a failed candidate as a warning, and what the search does meanwhile.

    Search, coefficient, value and actor are fields of their own."""
    search = {"search": event.title or event.run.folder.name}
    if isinstance(event, Doing):
        LOG.info(event.what, extra=search)
    if not isinstance(event, UnitAnswered):
        return
    result = event.result
    fields = {**search, event.coefficient: result.candidate.value, "actor": result.actor}
    if result.error is None:
        seconds = {"move_seconds": round(result.move_seconds, 3), "seconds": round(result.generate_seconds, 3)}
        LOG.info("answered %d prompts", len(result.answers), extra={**fields, **seconds})
    else:
        LOG.warning("candidate failed: %s", result.error, extra=fields)


class ProgressBars:
    """What a search does, on stderr: a line for each thing it begins or waits for, and a bar while answers come.

    One for each search."""

    def __init__(self) -> None:
        self._bar = ExitStack()
        self._advance: Callable[[int, str], None] = lambda count, text: None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Doing):
            STDERR.print(f"{event.title} {event.what}".strip(), highlight=False, markup=False)
        elif isinstance(event, Asking):
            self._bar.close()
            self._advance = self._bar.enter_context(count_bar(f"{event.title} answering".strip(), event.missing))
        elif isinstance(event, UnitAnswered):
            text = f"{event.coefficient} {format_value(event.result.candidate.value)}"
            self._advance(len(event.result.answers), text)
        elif isinstance(event, Asked | Ended):
            self._bar.close()


COUNTERS: dict[str, tuple[str, Callable[[UnitResult], float]]] = {
    "answers": ("prompts answered", lambda result: len(result.answers)),
    "failed": ("candidates given up", lambda result: result.error is not None),
    "decoded": ("tokens decoded one after the other", lambda result: result.effort.decoded_tokens),
    "drafted": ("tokens taken over from another candidate's answer", lambda result: result.effort.drafted_tokens),
    "moving": ("seconds spent on re-merging", lambda result: result.move_seconds),
    "generating": ("seconds spent on answering", lambda result: result.generate_seconds),
}


def count_in_ray(event: Event) -> None:
    """Counts every answered unit in `adamms_*`, with the tags search and actor, for Ray's dashboard and Prometheus."""
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
