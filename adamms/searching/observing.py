"""What an operator sees of a running search from anywhere: log lines, and metrics on Ray's dashboard."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from adamms.engines.pool import UnitResult

LOG = logging.getLogger(__name__)


class Observer:
    """Tells of every unit that one search has finished.

    Args:
        search: its name, the tag of its metrics.
    """

    def __init__(self, search: str) -> None:
        self._search = search

    def note(self, result: UnitResult) -> None:
        """One log line, and the metrics `adamms_*` (`ray.util.metrics`)."""
        fields = {"search": self._search, "alpha": result.alpha, "actor": result.actor}
        if result.error is None:
            seconds = {"move_seconds": round(result.move_seconds, 3), "seconds": round(result.generate_seconds, 3)}
            LOG.info("answered %d prompts", len(result.answers), extra={**fields, **seconds})
        else:
            LOG.warning("candidate failed: %s", result.error, extra=fields)
        counted = {
            "answers": len(result.answers),
            "failed": int(result.error is not None),
            "decoded": result.effort.decoded_tokens,
            "drafted": result.effort.drafted_tokens,
            "moving": result.move_seconds,
            "generating": result.generate_seconds,
        }
        tags, metrics = {"search": self._search, "actor": str(result.actor)}, _metrics()
        for name, value in counted.items():
            if value:  # Ray's counters refuse 0
                metrics[name].inc(value, tags)
        metrics["alpha"].set(result.alpha, tags)


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
    return found | {"alpha": Gauge("adamms_alpha", "where an actor stands", tags)}
