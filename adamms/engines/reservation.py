from typing import Any

from adamms.engines.config import EngineConfig
from adamms.engines.registry import needed_gpus


def threads(cpus: int) -> dict[str, str]:
    """Environment of a process that computes on so many cores of a machine that it shares.

    OpenMP's libraries read it when they are loaded, so it has to be there when the process starts. By default their
    threads spin where they wait for each other; where another process wants the core, all of them wait for it. A move
    fills as much fresh memory as the model has: in large pages, which torch has to be told to ask for, that takes a
    third of the time.
    """
    return {
        "OMP_NUM_THREADS": str(cpus),
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",  # GNU's, which torch brings
        "KMP_BLOCKTIME": "0",  # Intel's and LLVM's
        "THP_MEM_ALLOC_ENABLE": "1",
    }


class Reservation:
    """What one engine reserves of the cluster: cores, and GPUs where there are any.

    An engine over several GPUs gets a placement group on one node (STRICT_PACK): the actor sits in it, and vLLM
    starts its ranks there.

    Args:
        actors: engines that share the cluster, each with an even share of its cores.
    """

    def __init__(self, config: EngineConfig, actors: int) -> None:
        import ray

        total = ray.cluster_resources()
        wanted = config.device == "cuda" or (config.device == "auto" and total.get("GPU", 0) > 0)
        self.gpus = needed_gpus(config) if wanted else 0
        share = 1 if self.gpus else max(1, int(total.get("CPU", 1)) // actors)
        self.cpus = config.cpus or share
        self._group: Any = None
        if (ranks := needed_gpus(config)) > 1:
            self._group = self._packed_group(ranks)

    @property
    def ranks_apart(self) -> bool:
        """Whether the GPUs are reserved for ranks that run beside the actor."""
        return self.gpus > 0 and self._group is not None

    def options(self) -> dict[str, Any]:
        """For `ray.remote(...).options`."""
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        environment = {"runtime_env": {"env_vars": threads(self.cpus)}}
        if self._group is None:
            return {"num_cpus": self.cpus, "num_gpus": self.gpus, **environment}
        strategy = PlacementGroupSchedulingStrategy(
            self._group, placement_group_bundle_index=0, placement_group_capture_child_tasks=True
        )
        # The GPUs of the group are for vLLM's ranks, which run in it as Ray workers.
        return {"num_cpus": self.cpus, "num_gpus": 0, "scheduling_strategy": strategy, **environment}

    def free(self) -> None:
        """Gives the placement group back."""
        if self._group is not None:
            from ray.util import remove_placement_group

            remove_placement_group(self._group)
            self._group = None

    def __str__(self) -> str:
        return f"{self.cpus} CPU" + (f" and {self.gpus} GPU" if self.gpus else "")

    def _packed_group(self, ranks: int) -> Any:
        from ray.util import placement_group

        gpu = {"GPU": 1} if self.gpus else {}
        first = {"CPU": self.cpus if self.gpus else max(self.cpus, ranks), **gpu}
        others = [dict(gpu) for _ in range(ranks - 1)] if self.gpus else []
        return placement_group([first, *others], strategy="STRICT_PACK")
