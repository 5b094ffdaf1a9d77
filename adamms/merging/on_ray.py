"""A `Run` whose groups are Ray tasks. No tensor passes through the driver: tasks read and write the shared disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from adamms.errors import UserError
from adamms.merging.run import After, Run, device_of, run_on_threads
from adamms.support.ray_session import ray_session

if TYPE_CHECKING:
    from adamms.merging.config import MergingConfig
    from adamms.support.ray_session import RayConfig

RETRIES = 10  # of a task whose worker or machine died; it writes the same bytes to the same places again


@contextmanager
def run_on_ray(merging: MergingConfig, ray_config: RayConfig) -> Iterator[Run]:
    """Tasks on the cluster that `ray.address` names, that this job runs in, or on a new one on this machine."""
    threads = merging.workers or 1
    resources = {"num_cpus": threads, "num_gpus": merging.gpus_per_task}
    device = device_of(merging)

    def run(
        function: Callable[[Any], Any], groups: Sequence[Sequence[Any]], after: After | None = None, /
    ) -> Iterator[Any]:
        import ray

        task = ray.remote(_run_group).options(**resources, max_retries=RETRIES)
        shared = ray.put(function)
        pending = [task.remote(shared, group, after, threads, device) for group in groups]
        try:
            while pending:
                yield from ray.get(pending.pop(0))
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError | OSError):
                raise error.cause from None
            raise
        finally:
            for reference in pending:
                ray.cancel(reference, force=True)

    with ray_session(ray_config.address):
        _check_resources(resources)
        yield run


def has_room(merging: MergingConfig) -> bool:
    """Whether some machine has what a task needs beside all that runs there; rather no than yes.

    Ray tells what is free of the whole cluster only: if that is as much as if every machine had enough, one has.
    """
    import ray

    if merging.gpus_per_task:
        return False  # engines take whole GPUs
    machines = sum(node["Alive"] for node in ray.nodes())
    return bool(ray.available_resources().get("CPU", 0) >= machines * (merging.workers or 1))


def _check_resources(wanted: dict[str, float]) -> None:
    """A task that fits nowhere would wait for ever."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, gpus = wanted["num_cpus"], wanted["num_gpus"]
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        raise UserError(
            f"no machine of the Ray cluster has {cpus:g} CPUs and {gpus:g} GPUs; "
            "lower merging.workers or merging.gpus_per_task"
        )


def _run_group(
    function: Callable[[Any], Any], group: Sequence[Any], after: After | None, threads: int, device: str
) -> list[Any]:
    with run_on_threads(threads, device) as run:
        results = run(function, [group])
        return list(after(results) if after else results)
