"""What a search or a sweep may use up, and the one question that everything that runs asks: is it over?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from adamms.errors import UserError
from adamms.searching.config import BudgetConfig


class BudgetOver(UserError):
    """It was over before there was anything to choose by."""


class Budget:
    """Wall time and GPU-hours since it was made; asked from any thread.

    A share of it (`budget.reserve`) is kept for choosing and writing checkpoints, so `over` says so earlier.

    Raises:
        UserError: a number out of range.
    """

    def __init__(self, config: BudgetConfig, clock: Callable[[], float] = time.monotonic) -> None:
        if min(config.hours, config.gpu_hours, config.candidates) < 0 or not 0 <= config.reserve < 1:
            raise UserError("budget: hours, gpu_hours and candidates are 0 or more, reserve is from 0 to below 1")
        self.config = config
        self._clock, self._started = clock, clock()
        self._lock = threading.Lock()
        self._gpus, self._gpu_seconds, self._since = 0, 0.0, self._started
        self._interrupted = threading.Event()

    @property
    def limited(self) -> bool:
        """Whether it can ever be over by itself."""
        return bool(self.config.hours or self.config.gpu_hours)

    @property
    def gpu_hours(self) -> float:
        """Used so far: every GPU counts from when an engine holds it until it is given back."""
        with self._lock:
            return (self._gpu_seconds + self._gpus * (self._clock() - self._since)) / 3600

    @contextmanager
    def holding(self, gpus: int) -> Iterator[None]:
        """Counts so many GPUs within the block."""
        self._hold(gpus)
        try:
            yield
        finally:
            self._hold(-gpus)

    def interrupt(self) -> None:
        """Somebody wants everything to stop: a signal to the driver of a sweep."""
        self._interrupted.set()

    @property
    def over(self) -> str | None:
        """Which limit was reached, in words; None while there is some left.

        Raises:
            KeyboardInterrupt: it was interrupted; then nothing is chosen, and the same command goes on later.
        """
        return self._reached(1 - self.config.reserve)

    def whole(self) -> Budget:
        """The same, of which nothing is kept back: for what the reserve is kept for."""
        return _Whole(self)

    def _reached(self, share: float) -> str | None:
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        config = self.config
        if config.hours and self._clock() - self._started >= 3600 * config.hours * share:
            return f"budget.hours={config.hours:g}"
        if config.gpu_hours and self.gpu_hours >= config.gpu_hours * share:
            return f"budget.gpu_hours={config.gpu_hours:g}"
        return None

    def _hold(self, gpus: int) -> None:
        with self._lock:
            now = self._clock()
            self._gpu_seconds += self._gpus * (now - self._since)
            self._gpus, self._since = self._gpus + gpus, now


class _Whole(Budget):
    """Shares all that it counts with another one."""

    def __init__(self, other: Budget) -> None:
        self.__dict__ = other.__dict__

    @property
    def over(self) -> str | None:
        """As of any budget."""
        return self._reached(1.0)


UNLIMITED = Budget(BudgetConfig())
