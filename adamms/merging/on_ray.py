"""An executor whose groups are Ray tasks. No tensor passes through the driver: tasks read and write the shared disk."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from adamms.errors import UserError
from adamms.merging.config import MergingConfig
from adamms.merging.executor import Executor, Reduce, device_of, run_on_threads
from adamms.support.ray_session import RayConfig, ray_session

RETRIES = 10  # of a task whose worker or machine died; it writes the same bytes to the same offsets again


@contextmanager
def run_on_ray(merging: MergingConfig, ray_config: RayConfig) -> Iterator[Executor]:
    """An executor on the cluster that `ray.address` names, else on this job's, else on a new one on this machine.

    Raises:
        UserError: no machine of the cluster is large enough for a task, or one of them cannot see a file.
    """
    threads = merging.workers or 1
    resources = {"num_cpus": threads, "num_gpus": merging.gpus_per_task}
    device = device_of(merging)

    def execute(
        function: Callable[[Any], Any], groups: Sequence[Sequence[Any]], reduce: Reduce | None = None, /
    ) -> Iterator[Any]:
        import ray

        task = ray.remote(_run_group).options(**resources, max_retries=RETRIES)
        shared = ray.put(function)
        pending = [task.remote(shared, group, reduce, threads, device) for group in groups]
        try:
            while pending:
                yield from ray.get(pending.pop(0))
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, FileNotFoundError):
                raise UserError(
                    f"{error.cause.filename}: cannot be seen from a machine of the Ray cluster; the output and all "
                    "models have to lie on a disk that its machines share"
                ) from None
            if isinstance(error.cause, UserError | OSError):
                raise error.cause from None
            raise
        finally:
            for reference in pending:
                ray.cancel(reference, force=True)

    with ray_session(ray_config.address):
        _check_resources(resources)
        yield execute


def has_room(merging: MergingConfig) -> bool:
    """Whether some machine certainly has free what a merge task needs, beside everything that runs on the cluster now.

    Ray reports free CPUs for the whole cluster only. With m machines and w CPUs a task, m * w free CPUs mean that at
    least one machine has w free; with fewer the answer is False, though there may be such a machine.
    """
    import ray

    if merging.gpus_per_task:
        return False  # engines take whole GPUs
    machines = sum(node["Alive"] for node in ray.nodes())
    return bool(ray.available_resources().get("CPU", 0) >= machines * (merging.workers or 1))


def _check_resources(wanted: dict[str, float]) -> None:
    """Raises UserError for a task that is larger than any machine, since Ray would let it wait for ever."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, gpus = wanted["num_cpus"], wanted["num_gpus"]
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        raise UserError(
            f"no machine of the Ray cluster has {cpus:g} CPUs and {gpus:g} GPUs; "
            "lower merging.workers or merging.gpus_per_task"
        )


def _run_group(
    function: Callable[[Any], Any], group: Sequence[Any], reduce: Reduce | None, threads: int, device: str
) -> list[Any]:
    with run_on_threads(threads, device) as execute:
        results = execute(function, [group])
        return list(reduce(results) if reduce else results)
