"""What a search or a sweep may use up, and the one question that everything that runs asks: is it over?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from adamms.errors import UserError
from adamms.searching.config import BudgetConfig


class BudgetOver(UserError):
    """It was over before there was anything to choose by."""


class Usage:
    """Counts wall time and GPU-hours since it was made; asked from any thread.

    Attributes:
        interrupted: set where somebody wants everything to stop.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._started = clock, clock()
        self._lock = threading.Lock()
        self._gpus, self._gpu_seconds, self._since = 0, 0.0, self._started
        self.interrupted = threading.Event()

    @property
    def hours(self) -> float:
        """Wall time so far."""
        return (self._clock() - self._started) / 3600

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

    def _hold(self, gpus: int) -> None:
        with self._lock:
            now = self._clock()
            self._gpu_seconds += self._gpus * (now - self._since)
            self._gpus, self._since = self._gpus + gpus, now


class Budget:
    """How much may be used, and what was used of it.

    A share of it (`budget.reserve`) is kept for choosing and writing checkpoints, so `over` says so earlier.

    Attributes:
        usage: what was used since it was made, or since whatever made that began to count.

    Raises:
        UserError: a number out of range.
    """

    def __init__(self, config: BudgetConfig, usage: Usage | None = None) -> None:
        if min(config.hours, config.gpu_hours, config.candidates) < 0 or not 0 <= config.reserve < 1:
            raise UserError("budget: hours, gpu_hours and candidates are 0 or more, reserve is from 0 to below 1")
        self.config, self.usage = config, usage or Usage()

    @property
    def limited(self) -> bool:
        """Whether it can ever be over by itself."""
        return bool(self.config.hours or self.config.gpu_hours)

    def interrupt(self) -> None:
        """Somebody wants everything to stop: a signal to the driver of a sweep."""
        self.usage.interrupted.set()

    @property
    def over(self) -> str | None:
        """Which limit was reached, in words; None while there is some left.

        Raises:
            KeyboardInterrupt: it was interrupted; then nothing is chosen, and the same command goes on later.
        """
        if self.usage.interrupted.is_set():
            raise KeyboardInterrupt
        config, share = self.config, 1 - self.config.reserve
        if config.hours and self.usage.hours >= config.hours * share:
            return f"budget.hours={config.hours:g}"
        if config.gpu_hours and self.usage.gpu_hours >= config.gpu_hours * share:
            return f"budget.gpu_hours={config.gpu_hours:g}"
        return None

    def whole(self) -> Budget:
        """The same, of which nothing is kept back: for what the reserve is kept for."""
        return Budget(replace(self.config, reserve=0.0), self.usage)


UNLIMITED = Budget(BudgetConfig())
