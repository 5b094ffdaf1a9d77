"""Progress bars on stderr, so that results on stdout stay clean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from adamms.mapping.plan import MergePlan

STDERR = Console(stderr=True)


@contextmanager
def bytes_bar(title: str, plan: MergePlan) -> Iterator[Callable[[int], None]]:
    """A bar over all bytes of a plan's output; gives the function that advances it by some bytes."""
    from adamms.checkpoint import DTYPES

    total = sum(DTYPES[t.dtype] * _elements(t.shape) for t in plan.tensors)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=STDERR, transient=True, disable=not STDERR.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def count_bar(title: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """A bar over countable work; gives the function that advances it and says what is being done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=STDERR) as progress:
        task = progress.add_task(title, total=total)
        yield lambda count, text: progress.update(task, advance=count, description=f"{title} {text}".strip())


def _elements(shape: tuple[int, ...]) -> int:
    from math import prod

    return prod(shape)
