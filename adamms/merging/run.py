"""Where work is done: a `Run` applies a function to groups of items; here one by one, or on threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from adamms.merging.config import MergingConfig

After = Callable[[Iterable[Any]], Sequence[Any]]


class Run(Protocol):
    """Gives the results of all items in order. A group is what one task takes where there are tasks; `after` is
    applied there to a group's results, before they are sent back."""

    def __call__(
        self, function: Callable[[Any], Any], groups: Sequence[Sequence[Any]], after: After | None = None, /
    ) -> Iterator[Any]: ...


def run_here(
    function: Callable[[Any], Any], groups: Sequence[Sequence[Any]], after: After | None = None, /
) -> Iterator[Any]:
    """One item after the other, in this thread."""
    return (function(item) for group in groups for item in group)


@contextmanager
def run_on_threads(workers: int = 0, device: str = "cpu") -> Iterator[Run]:
    """A `Run` on threads of this process; 0: one a core. The first error ends it."""
    import torch

    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the threads are the parallelism
    pool = ThreadPoolExecutor(workers or cores(), "merge", initializer=_own_stream, initargs=(device,))

    def run(
        function: Callable[[Any], Any], groups: Sequence[Sequence[Any]], after: After | None = None, /
    ) -> Iterator[Any]:
        return pool.map(function, [item for group in groups for item in group])

    try:
        yield run
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(torch_threads)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def device_of(config: MergingConfig) -> str:
    """Where a merge computes."""
    return "cuda" if config.gpus_per_task else "cpu"


def _own_stream(device: str) -> None:
    """Threads that share a GPU overlap: one copies while another computes."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.set_stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
