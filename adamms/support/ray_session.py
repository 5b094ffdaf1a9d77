"""Connecting to Ray: the cluster a job runs in, the one that `ray.address` names, or a new one on this machine."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adamms.errors import UserError, first_line
from adamms.support.ray_leftovers import mark_session, remove_leftovers, temporary_folder


@dataclass(frozen=True)
class RayConfig:
    address: str | None = None
    """None: the cluster this job runs in, else a new one on this machine."""


logger = logging.getLogger(__name__)
START_WAIT = "RAY_raylet_start_wait_time_s"
LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray reads it when it is imported; without it a cluster of this machine alone listens on all its addresses."""
SAME_PRIORITY = {"RAY_worker_niceness": "0"}
"""Ray's own default, 15, lets workers starve beside any other program, and a search looks dead."""


@contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """Ray is up within the block; one that this process started is stopped at the end, and what programs that were
    killed have left of theirs is removed before.

    Raises:
        UserError: the address answers to no Ray cluster, or a new one does not come up.
    """
    os.environ.setdefault(START_WAIT, "120")  # the default, 30, is too short for a busy laptop
    # `ray job submit` sets RAY_ADDRESS for its driver; without either, a private cluster on the loopback interface.
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    if address == "local":
        for name, value in {**LOOPBACK_ONLY, **SAME_PRIORITY}.items():
            os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    if address == "local":
        remove_leftovers(temporary_folder())
    ended_by = signal.getsignal(signal.SIGTERM)
    quiet = max(logging.getLogger().level, logging.WARNING)  # its warnings are of no use to whoever runs a search
    try:
        context = ray.init(address=address, include_dashboard=False, logging_level=quiet, log_to_driver=False)
    except ConnectionError as error:
        raise UserError(
            f"ray.address={address}: no Ray cluster answers there ({first_line(error)}); "
            "start one with `ray start --head`"
        ) from None
    except Exception as error:  # what Ray raises where its own processes do not come up has no class of its own
        if "timed out during startup" not in str(error):
            raise
        raise UserError(
            f"Ray did not start on this machine within {os.environ[START_WAIT]} s, which is short of processors or of "
            f"memory; stop other work, or wait longer ({START_WAIT}=600), and run the same command again"
        ) from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ended_by)  # Ray put its own in place, which ends the process as if it had failed
    mark = mark_session(Path(context.address_info["session_dir"])) if address == "local" else None
    try:
        yield
    finally:
        ray.shutdown()
        if mark is not None:
            os.close(mark)


def warn_if_temporary(folder: Path) -> None:
    """Results written below a Ray job's uploaded working directory are gone with it: says so."""
    if "working_dir_files" in folder.resolve().parts:
        logger.warning("%s lies in the Ray job's temporary folder: give an absolute path (run_dir=/...)", folder)
