import logging
import time
from collections.abc import Callable

SAY_SECONDS = 5.0  # between two sentences about the same thing
FIRST_WARNING_SECONDS, WARNING_SECONDS = 30.0, 60.0

log = logging.getLogger(__name__)


class Waiting:
    """Tells a callback what a pool waits for, so that no search waits in silence: when that changes, and every few
    seconds; and the log when it takes long.

    Args:
        told: takes a sentence without a full stop.
    """

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told
        self._what = ""
        self._said = self._began = 0.0
        self._warned: float | None = None

    def say(self, what: str, since: float, more: Callable[[], str] = lambda: "") -> None:
        """Something is waited for.

        Args:
            since: when that began (`time.monotonic`).
            more: put after it when it is really said, since finding out may take time.
        """
        now = time.monotonic()
        self._began = self._began or now
        warn = now >= (self._began + FIRST_WARNING_SECONDS if self._warned is None else self._warned + WARNING_SECONDS)
        if what == self._what and now - self._said < SAY_SECONDS and not warn:
            return
        self._what, self._said = what, now
        sentence = f"{what}{more()} ({now - since:.0f} s)"
        self._told(sentence)
        if warn:
            self._warned = now
            log.warning(sentence)

    def note(self, sentence: str) -> None:
        """Something happened that a person should know of: to the callback and the log at once."""
        self._told(sentence)
        log.warning(sentence)

    def over(self) -> None:
        """Nothing is waited for any more."""
        self._what, self._began, self._warned = "", 0.0, None
