"""Running the searches of a sweep side by side, each lane a thread with engines of its own."""

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from queue import SimpleQueue

from adamms.engines.config import EngineConfig
from adamms.errors import UserError
from adamms.searching.budget import Budget
from adamms.searching.preparing import Search
from adamms.searching.search import Found
from adamms.searching.warm_engines import WarmEngines
from adamms.support.ray_session import RayConfig
from adamms.sweeping.schedule import SweepSchedule

LOG = logging.getLogger(__name__)
Result = Found | Exception
"""What came of a search: what it found, or why it failed."""
RunOne = Callable[[Search, WarmEngines, str], Found]


def lanes_of(engine: EngineConfig, wanted: int, resources: Mapping[str, float]) -> int:
    """How many searches the cluster has room for at once.

    Args:
        wanted: `sweep.lanes`; 0: as many as there is room for.
    """
    if wanted:
        return wanted
    gpus = int(resources.get("GPU", 0)) if engine.device != "cpu" else 0
    if gpus:
        return max(1, gpus // (engine.actors * engine.tensor_parallel_size))
    return max(1, int(resources.get("CPU", 1)) // (engine.actors * engine.cpus)) if engine.cpus else 1


def run_lanes(
    searches: Mapping[str, Search],
    lanes: int,
    ray: RayConfig,
    budget: Budget,
    run: RunOne,
    interrupted: Callable[[], None],
) -> Iterator[tuple[str, Result]]:
    """Runs all searches, gives each one's result as it comes; one that fails leaves the others alone.

    Args:
        run: carries out one search, given its name and the lane's engines.
        interrupted: is called as soon as somebody stops this process.

    Raises:
        KeyboardInterrupt: after every lane has stopped in a state from which the same command goes on.
    """
    if not searches:
        return
    schedule = SweepSchedule({name: search.study.engine.engine_key for name, search in searches.items()})
    results: SimpleQueue[tuple[str, Result]] = SimpleQueue()

    def work(lane: int) -> None:
        with WarmEngines(ray, budget) as engines:
            while (name := schedule.take(lane)) is not None:
                results.put((name, _result(run, searches[name], engines, name)))

    with ThreadPoolExecutor(lanes, "lane") as pool:
        running = {pool.submit(work, lane) for lane in range(lanes)}
        try:
            while running:
                ended, running = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                while not results.empty():
                    yield results.get()
                for future in ended:
                    future.result()
        except BaseException:
            budget.interrupt()  # the others stop at their next unit
            interrupted()  # `ray job stop` kills after 3 s, and one that exports now may take longer
            raise


def _result(run: RunOne, search: Search, engines: WarmEngines, name: str) -> Result:
    try:
        return run(search, engines, name)
    except UserError as error:
        LOG.warning("failed: %s", error, extra={"search": name})
        return error
    except Exception as error:  # whatever it is, it is this search's alone
        LOG.exception("failed", extra={"search": name})
        engines.stop()  # nobody knows what state they are in
        return error
