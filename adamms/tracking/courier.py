"""The thread that delivers a journal while the search goes on, and the command that delivers what it could not."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from adamms.errors import FULL, UserError
from adamms.tracking.delivery import Delivery
from adamms.tracking.journal import Journal
from adamms.tracking.server import Server, Unreachable, without_password

logger = logging.getLogger(__name__)
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
JOURNALS = "tracking"
"""The subfolder of a run folder that its journals lie in."""


class Courier:
    """Delivers what is appended to a journal, soon after; waits longer and longer for a server that does not answer."""

    def __init__(self, journal: Journal, server: Server, files: Path) -> None:
        self._journal, self._server = journal, server
        self._uri = without_password(server.uri)
        self._delivery = Delivery(journal, server, files)
        self._news, self._last = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)

    def start(self) -> None:
        """Begins to deliver, with what earlier runs of the search have left."""
        self._thread.start()

    def notify(self) -> None:
        """Something was appended."""
        self._news.set()

    def close(self) -> None:
        """Returns when all is delivered, or the server has not answered once more."""
        self._last.set()
        self._news.set()
        self._thread.join()

    def _work(self) -> None:
        wait, told = FIRST_WAIT, False
        while True:
            last = self._last.is_set()
            self._news.clear()
            try:
                self._delivery.deliver()
                wait = FIRST_WAIT
            except Unreachable as error:
                if not told:
                    logger.warning("tracking.uri=%s does not answer (%s); the search goes on", self._uri, error)
                told, wait = True, min(2 * wait, LONGEST_WAIT)
                self._last.wait(wait)
            except Exception as error:  # whatever the dashboard's trouble is, the search goes on without it
                if isinstance(error, OSError) and error.errno in FULL:
                    logger.warning("delivering to MLflow ended: %s: %s", self._journal.folder, error.strerror)
                else:
                    logger.exception("delivering to MLflow failed; the records stay in %s", self._journal.folder)
                return
            if last:
                return
            if not self._last.is_set():
                self._news.wait()


def deliver_run(run_dir: Path, uri: str | None = None, experiment: str | None = None) -> tuple[int, str]:
    """Delivers everything that the searches in a folder have to tell; gives how many records, and where they went.

    Args:
        uri, experiment: another server than the searches were told; it gets everything.

    Raises:
        UserError: no search was tracked there, or the server does not answer.
    """
    journals = Journal.all_in(run_dir / JOURNALS)
    if not journals:
        raise UserError(f"{run_dir}: no tracked search in it; give the run_dir of a search with tracking.enabled=true")
    taken, target = 0, ""
    for journal in journals:
        opened = [operation.fields for operation in journal.operations() if operation.kind == "open"]
        if not opened:
            continue
        server = Server(uri or opened[-1]["uri"], experiment or opened[-1]["experiment"])
        target = without_password(server.uri)
        try:
            server.check()
            taken += Delivery(journal, server, run_dir).deliver()
        except Unreachable as error:
            raise UserError(f"tracking.uri={target}: no answer ({error}); run this again when it does") from None
    return taken, target
