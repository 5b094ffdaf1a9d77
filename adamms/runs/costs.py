"""What a search cost, kept in the run folder over every time the command ran: seconds add up, peaks stay."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from adamms.errors import UserError
from adamms.support.files import write_json


class Costs:
    """Seconds by phase, in the order in which phases first happened, and the most that was held at once of anything;
    those of earlier runs of the command included."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.seconds: dict[str, float] = read_costs(file)
        self.peaks: dict[str, float] = read_costs(file, "peaks")
        self.totals: dict[str, float] = read_costs(file, "totals")

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts the time of the block, also when it fails."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - started)

    def add(self, name: str, seconds: float) -> None:
        """Counts time that was measured elsewhere."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def reached(self, peaks: Mapping[str, float]) -> None:
        """Remembers those that are higher than before."""
        for name, value in peaks.items():
            self.peaks[name] = max(self.peaks.get(name, 0.0), value)

    def count(self, name: str, amount: float) -> None:
        """Adds to a total that is no time of a phase, such as GPU hours."""
        self.totals[name] = self.totals.get(name, 0.0) + amount

    @contextmanager
    def kept(self, gpu_hours: Callable[[], float]) -> Iterator[None]:
        """Saves what the block took, also where it fails or is interrupted.

        Args:
            gpu_hours: how many were held so far.
        """
        before = gpu_hours()
        try:
            yield
        finally:
            self.count("gpu_hours", gpu_hours() - before)
            self.save()

    def save(self) -> None:
        """Writes everything counted so far, in one step."""
        write_json(self._file, {"seconds": self.seconds, "peaks": self.peaks, "totals": self.totals})


def read_costs(file: Path, kind: str = "seconds") -> dict[str, float]:
    """`seconds` by phase, `peaks` or `totals` by name, from a file that `Costs` wrote; none where there is no file.

    Raises:
        UserError: it is broken.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {str(name): float(value) for name, value in found.get(kind, {}).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError, AttributeError, TypeError, OverflowError) as error:
        raise UserError(f"{file}: broken ({error}); take it away, and costs are counted anew") from None
