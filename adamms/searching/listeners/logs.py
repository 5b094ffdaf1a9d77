"""A log line for what happens, with search, coefficient, value and actor as fields of their own."""

import logging

from adamms.searching.events import Doing, Event, UnitAnswered

LOG = logging.getLogger("adamms.search")


def log_lines(event: Event) -> None:
    """Every answered unit at level info, a failed candidate as a warning, and what the search does meanwhile."""
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
