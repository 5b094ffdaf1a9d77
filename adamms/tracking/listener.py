"""Delivering to MLflow while a run goes on, in a thread that the run never waits for, and later by a command."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from adamms.addresses import mask
from adamms.errors import FULL, UserError, first_line
from adamms.runs.run_folder import KILLED, RUNNING, RunFolder
from adamms.tracking.config import TrackingConfig
from adamms.tracking.contents import TARGET
from adamms.tracking.delivery import Delivery
from adamms.tracking.server import Server, Unreachable

logger = logging.getLogger(__name__)
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
SQLITE = "sqlite:///"
REST = 9.0
"""After a delivery the thread rests this many times as long as it took, so that large runs are not slowed down."""
_OPEN: set[Tracking] = set()


class Tracking:
    """A context manager around a search or sweep that delivers its run folder whenever something happens.

    It is a listener of the run's events, and may be called with anything else: it looks into the folder only. The run
    has to be described (`RunFolder.describe`) before anything is delivered. With `enabled=false` it does nothing.

    Raises (on entering):
        UserError: the tracking URI is none that MLflow can use. A server that only does not answer is waited for.
    """

    def __init__(self, config: TrackingConfig, run: RunFolder) -> None:
        self._config, self._run = config, run
        self._address = config.address(run.folder)
        self._uri = mask(self._address)
        self._news, self._hurry, self._last = threading.Event(), threading.Event(), threading.Event()
        self._monitor: Any = None

    def __enter__(self) -> Self:
        if not self._config.enabled:
            return self
        self._server = Server(self._address, self._config.experiment)
        with suppress(Unreachable):  # the thread says so
            self._server.check()
        target = {"uri": self._address, "experiment": self._config.experiment, "model": self._config.model}
        self._run.write(self._run.tracking / TARGET, target)
        self._delivery = Delivery(self._run, self._server)
        self._earlier = [Delivery(run, self._server) for run in self._run.earlier()]
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()
        _OPEN.add(self)
        return self

    def __call__(self, event: object) -> None:
        """Something happened; what, is in the run folder."""
        self._news.set()

    def wake(self) -> None:
        """Delivers at once what is new."""
        self._hurry.set()
        self._news.set()

    def interrupt(self) -> None:
        """Says at once that the run was stopped, because the process may be killed soon; how it does end follows."""
        if (self._run.read(self._run.status) or {}).get("status") == RUNNING:
            self._run.set_status(KILLED)
        self.wake()

    def __exit__(self, *exc: object) -> None:
        if not self._config.enabled:
            return
        _OPEN.discard(self)
        self._last.set()
        self.wake()
        self._thread.join()
        if self._monitor is not None:
            self._monitor.finish()
        self._keep_page()
        self._say_what_waits()

    def _say_what_waits(self) -> None:
        try:
            if waiting := self._delivery.waiting():
                text = "%d records could not be delivered to %s; deliver them with: adamms track %s"
                logger.warning(text, waiting, self._uri, self._run.folder)
        except Exception as error:  # of a file that is broken, and no reason to call a finished run failed
            logger.warning("nobody knows what was delivered to %s: %s", self._uri, first_line(error))

    def _keep_page(self) -> None:
        """Notes in the folder where MLflow shows the run, for who prints it."""
        file = self._run.tracking / TARGET
        with suppress(Exception):  # the server may be gone again
            if page := self._delivery.page:
                self._run.write(file, (self._run.read(file) or {}) | {"page": page})

    def _work(self) -> None:
        wait, told = FIRST_WAIT, False
        while True:
            self._news.clear()
            self._hurry.clear()
            last = self._last.is_set()
            started = time.monotonic()
            try:
                while self._earlier:  # what gave way says so first
                    self._earlier[0].deliver()
                    self._earlier.pop(0)
                self._delivery.deliver()
                self._watch_machine()
                wait, rest = FIRST_WAIT, REST * (time.monotonic() - started)
            except Unreachable as error:
                if not told:
                    logger.warning("tracking.uri=%s does not answer (%s); the run goes on", self._uri, error)
                told, rest, wait = True, wait, min(2 * wait, LONGEST_WAIT)
                self._news.set()
            except Exception as error:  # whatever the dashboard's trouble is, the run goes on without it
                if isinstance(error, OSError) and error.errno in FULL:
                    logger.warning("delivering to MLflow ended: %s: %s", self._run.folder, error.strerror)
                else:
                    logger.exception("delivering to MLflow failed; everything stays in %s", self._run.folder)
                return
            if last:
                return
            self._hurry.wait(rest)
            self._news.wait()

    def _watch_machine(self) -> None:
        """Has MLflow log how busy this machine is, to the run itself; a search in a sweep leaves it to the sweep."""
        if self._monitor is not None or not self._config.system_metrics or self._delivery.run_id is None:
            return
        if self._run.read(self._run.about)["parent"] is None:
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            uri = self._address
            with self._server.answering():
                self._monitor = SystemMetricsMonitor(self._delivery.run_id, resume_logging=True, tracking_uri=uri)
            self._monitor.start()


def where_it_is(config: TrackingConfig, run: RunFolder) -> TrackingConfig:
    """The settings with the server, experiment and model that a run was told before, where they name no server: what
    belongs to a run is delivered to where that is.

    Raises:
        UserError: its address had a password, and nobody knows it any more.
    """
    target = run.read(run.tracking / TARGET) or {}
    if not (config.enabled and target) or config.uri or _is_gone(target["uri"]):
        return config
    if "***" in target["uri"] and os.environ.get("MLFLOW_TRACKING_URI"):
        return config  # the server that is named now is the one that can be reached
    return replace(
        config, uri=_address_of(target, "tracking.uri"), experiment=target["experiment"], model=target["model"]
    )


def dashboard_of(run: RunFolder) -> list[str]:
    """How to look at a run in MLflow: its address, or for a local database the command that shows it, and then the
    address. Nothing where it was not tracked."""
    target = run.read(run.tracking / TARGET) or {}
    if "uri" not in target:
        return []
    page = target.get("page", "")
    if target["uri"].startswith("http"):
        return [f"{target['uri'].rstrip('/')}/{page}"]
    return [f"mlflow ui --backend-store-uri {target['uri']}", *([f"http://127.0.0.1:5000/{page}"] if page else [])]


def wake_all() -> None:
    """Somebody stops this process: all runs that are tracked in it, in whichever thread, say so at once."""
    for tracking in list(_OPEN):
        tracking.interrupt()


def deliver_run(run_dir: Path, uri: str | None = None, experiment: str | None = None) -> tuple[int, str]:
    """Delivers what the search in a folder holds, or a sweep and all its searches.

    Args:
        uri, experiment: another server than the run was told; it gets everything.

    Returns:
        How many items the server took, and its address without a password.

    Raises:
        UserError: there is no run, nobody knows where to, or the server does not answer.
    """
    searches = [file.parent for pattern in ("search.json", "*/*/search.json") for file in sorted(run_dir.glob(pattern))]
    found = [run.folder for folder in searches for run in (*RunFolder(folder).earlier(), RunFolder(folder))]
    runs = [RunFolder(folder) for folder in found]
    targets = [run.read(run.tracking / TARGET) or {} for run in runs]
    told = [(run, target) for run, target in zip(runs, targets, strict=True) if uri or target]
    if not told:
        raise UserError(
            f"{run_dir}: no tracked search in it; give the run_dir of a search with tracking.enabled=true, or --uri"
        )
    taken, shown = 0, ""
    for run, target in told:
        server = Server(uri or _address_of(target), experiment or target.get("experiment") or "adamms")
        shown = mask(server.uri)
        try:
            server.check()
            taken += Delivery(run, server).deliver()
        except Unreachable as error:
            raise UserError(f"tracking.uri={shown}: no answer ({error}); run this again when it does") from None
    return taken, shown


def _is_gone(uri: str) -> bool:
    """Whether it is a database that was somewhere else, as that of a folder which was moved."""
    return uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).is_file()


def _address_of(target: Mapping[str, str], option: str = "--uri") -> str:
    """Where a run was told to deliver to. Its folder keeps no passwords; the environment may have the same address.

    Args:
        option: that takes another address.

    Raises:
        UserError: the address had one, and nobody knows it any more.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    if mask(given) == target["uri"]:
        return given
    if "***" in target["uri"]:
        raise UserError(
            f"tracking.uri={target['uri']}: a run folder keeps no passwords; give the whole address with {option}, or "
            "in MLFLOW_TRACKING_URI"
        )
    return target["uri"]
