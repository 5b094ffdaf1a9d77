"""Progress bars on stderr, so that results on stdout stay clean; threads share one display."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from adamms.support.times import spell_seconds

STDERR = Console(stderr=True)
PATIENCE = 0.7
"""Seconds after which a person at a terminal should be told what takes so long."""
FIRST_LINE, LATER_LINES = 5.0, 30.0
"""Where no terminal shows a bar: after how many seconds a line says how far the work is, and how often then."""


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Says on stderr what is done in the block, if that takes so long that somebody might wonder."""
    patience = PATIENCE if STDERR.is_terminal else FIRST_LINE
    timer = threading.Timer(patience, STDERR.print, [f"{what} ..."], {"highlight": False, "markup": False})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Display:
    """Is there while any bar is; the terminal takes only one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._bars = 0

    @contextmanager
    def bar(self, title: str, total: int, amount: Callable[[float], str]) -> Iterator[Callable[[int, str], None]]:
        """A bar; gives the function that advances it and adds a text to its title."""
        with self._lock:
            if self._progress is None:
                columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[amount]}"))
                self._progress = Progress(*columns, TimeRemainingColumn(), console=STDERR)
                self._progress.start()
            self._bars += 1
            progress = self._progress
            task = progress.add_task(title, total=total, amount="")

        done = 0

        def advance(count: int, text: str = "") -> None:
            nonlocal done
            done += count
            shown = f"{amount(done)}/{amount(total)}"
            progress.update(task, advance=count, description=f"{title} {text}".strip(), amount=shown)

        try:
            yield advance
        finally:
            with self._lock:
                self._bars -= 1
                if self._bars:
                    progress.remove_task(task)
                else:
                    progress.stop()
                    self._progress = None


_DISPLAY = _Display()


@contextmanager
def bytes_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar over so many bytes, on a terminal; gives the function that advances it by some bytes."""
    if not STDERR.is_terminal:
        yield lambda count: None
        return
    with _DISPLAY.bar(title, total, lambda count: decimal(int(count))) as advance:
        yield lambda count: advance(count, "")


def count_bar(title: str, total: int) -> AbstractContextManager[Callable[[int, str], None]]:
    """A bar over countable work, and where no terminal shows it a line now and then; gives the function that advances
    it and says what is being done."""
    if not STDERR.is_terminal:
        return _count_lines(title, total)
    return _DISPLAY.bar(title, total, lambda count: f"{count:.0f}")


@contextmanager
def _count_lines(title: str, total: int) -> Iterator[Callable[[int, str], None]]:
    started = time.monotonic()
    done, say_next = 0, FIRST_LINE

    def advance(count: int, text: str = "") -> None:
        nonlocal done, say_next
        done += count
        took = time.monotonic() - started
        if done and (took >= say_next or done == total):
            say_next = took + LATER_LINES
            left = f", about {spell_seconds(took * (total - done) / done)} left"
            rest = left if done < total else f" in {spell_seconds(took)}"
            STDERR.print(f"{title} {text}: {done}/{total}{rest}", highlight=False, markup=False, soft_wrap=True)

    yield advance
