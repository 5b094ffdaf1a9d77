"""The MLflow server or database, and telling when it does not answer from when it says no."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from adamms.errors import UserError
from adamms.support.addresses import without_password

# MLflow's own client would try for minutes; what cannot be delivered stays in the run folder: one short try will do.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}
BUSY = 429


class Unreachable(Exception):
    """The server did not answer, or not now."""


class Server:
    """Where runs go: an MLflow tracking URI, and one experiment there.

    Raises:
        UserError: a URI that MLflow does not know.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        self.uri, self._experiment_name = uri, experiment
        self._experiment: str | None = None

    @property
    def name(self) -> str:
        """Identifies the place that runs are delivered to; no password is part of it."""
        return f"{without_password(self.uri)} {self._experiment_name}"

    @cached_property
    def client(self) -> Any:
        import mlflow

        return mlflow.MlflowClient(tracking_uri=self.uri)

    def experiment(self) -> str:
        """The id of the experiment, made where it is missing."""
        if self._experiment is None:
            self._experiment = self._find() or self._create()
        return self._experiment

    def check(self) -> None:
        """Makes sure that the experiment is there.

        Raises:
            UserError: what the user can mend: an unknown scheme, no such folder, no permission.
            Unreachable: no answer.
        """
        try:
            with self.answering():
                self.experiment()
        except Unreachable as error:
            if self._is_file:
                raise self._unusable(error) from None
            raise
        except Exception as error:
            raise self._unusable(error) from None

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Within the block, an error that means that the server is down is raised as Unreachable."""
        try:
            yield
        except Exception as error:
            if self.is_down(error):
                raise Unreachable(_first_line(error)) from error
            raise

    def is_down(self, error: BaseException) -> bool:
        """Whether an error is one of the connection or of the server's health: trying later may help."""
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import DBAPIError, TimeoutError

        if isinstance(error, Unreachable):
            return True
        if isinstance(error, MlflowException):
            status = int(error.get_http_status_code())
            return status >= 500 or status in (401, 403, BUSY)
        return isinstance(error, (RequestException, ConnectionError, DBAPIError, TimeoutError))

    @property
    def _is_file(self) -> bool:
        return self.uri.startswith("sqlite:")

    def _find(self) -> str | None:
        found = self.client.get_experiment_by_name(self._experiment_name)
        return None if found is None else str(found.experiment_id)

    def _create(self) -> str:
        from mlflow.exceptions import MlflowException

        try:
            return str(self.client.create_experiment(self._experiment_name, artifact_location=self._artifacts()))
        except MlflowException as error:
            made_meanwhile = self._find() if error.error_code == "RESOURCE_ALREADY_EXISTS" else None
            if made_meanwhile is None:
                raise
            return made_meanwhile

    def _artifacts(self) -> str | None:
        """Beside a local database, whatever the working directory is; a server decides for itself."""
        if not self.uri.startswith("sqlite:///"):
            return None
        return str(Path(self.uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts")

    def _unusable(self, error: BaseException) -> UserError:
        return UserError(
            f"tracking.uri={without_password(self.uri)}: MLflow cannot be used there ({_first_line(error)}); "
            "mend it, or go without with tracking.enabled=false"
        )


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return without_password(lines[0][:300]) if lines else type(error).__name__
