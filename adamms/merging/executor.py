"""Where the work of a merge is done: an `Executor` applies a function to items, one by one or on threads.

`on_ray.py` has the third executor, which uses Ray tasks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

from adamms.merging.config import MergingConfig
from adamms.support.system import cores

Reduce = Callable[[Iterable[Any]], Sequence[Any]]


class Executor(Protocol):
    """Returns the results of all items, in order.

    Items come in groups: on Ray, a group is one task. There, `reduce` is applied to the results of a group before they
    are sent back; executors of this process ignore it.
    """

    def __call__(
        self, function: Callable[[Any], Any], groups: Sequence[Sequence[Any]], reduce: Reduce | None = None, /
    ) -> Iterator[Any]: ...


def run_here(
    function: Callable[[Any], Any], groups: Sequence[Sequence[Any]], reduce: Reduce | None = None, /
) -> Iterator[Any]:
    """An executor: one item after the other, in this thread."""
    return (function(item) for group in groups for item in group)


@contextmanager
def run_on_threads(workers: int = 0, device: str = "cpu") -> Iterator[Executor]:
    """An executor that uses threads of this process (0: one a core), and stops at the first error."""
    import torch

    torch_threads = torch.get_num_threads()
    set_torch_threads(1)  # one thread of torch in each of ours
    pool = ThreadPoolExecutor(workers or cores(), "merge", initializer=_use_own_stream, initargs=(device,))

    def execute(
        function: Callable[[Any], Any], groups: Sequence[Sequence[Any]], reduce: Reduce | None = None, /
    ) -> Iterator[Any]:
        return pool.map(function, [item for group in groups for item in group])

    try:
        yield execute
    finally:
        pool.shutdown(cancel_futures=True)
        set_torch_threads(torch_threads)


def set_torch_threads(count: int) -> None:
    """Into how many threads torch splits one operation, in this thread and in new ones.

    vLLM's CPU worker puts a function that does nothing in the place of `torch.set_num_threads`, for its whole process.
    """
    import torch

    torch._C.set_num_threads(count)  # type: ignore[attr-defined]


def device_of(config: MergingConfig) -> str:
    """The device that a merge computes on, as torch names it."""
    return "cuda" if config.gpus_per_task else "cpu"


def _use_own_stream(device: str) -> None:
    """Gives this thread a CUDA stream of its own, so that one thread copies while another computes."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.set_stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
