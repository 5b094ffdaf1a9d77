"""The MLflow server or database, and telling when it does not answer from when it says no."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from adamms.addresses import mask
from adamms.errors import UserError

ENVIRONMENT = {
    # MLflow's client would try for minutes; what cannot be delivered stays in the run folder: one short try will do.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
"""How MLflow's client works here, unless the user has said otherwise."""
BUSY = 429
LOCKED = "database is locked"
"""What SQLite says while another process writes, and after waiting for that for some seconds."""


class Unreachable(Exception):
    """The server did not answer, or not now."""


class Server:
    """Where runs go: an MLflow tracking URI, and the name of one experiment there.

    Raises:
        UserError: a URI that MLflow does not know.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self.uri, self.name = uri, experiment

    @cached_property
    def client(self) -> Any:
        import mlflow

        return mlflow.MlflowClient(tracking_uri=self.uri)

    @cached_property
    def experiment(self) -> str:
        """The id of the experiment, made where it is missing."""
        from mlflow.exceptions import MlflowException

        artifacts = None  # where a server keeps artifacts it decides for itself
        if self.uri.startswith("sqlite:///"):  # beside a local database, whatever the working directory is
            artifacts = str(Path(self.uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts")
        found = self.client.get_experiment_by_name(self.name)
        if found is None:
            try:
                return str(self.client.create_experiment(self.name, artifact_location=artifacts))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":  # somebody else made it meanwhile
                    raise
                found = self.client.get_experiment_by_name(self.name)
        return str(found.experiment_id)

    def check(self) -> str:
        """The id of the experiment, or what is wrong with this server.

        Raises:
            UserError: what the user can mend: an unknown scheme, no such folder, no permission.
            Unreachable: no answer, or another process has locked the database.
        """
        try:
            with self.answering():
                return self.experiment
        except Exception as error:
            passes = not self.uri.startswith("sqlite:") or LOCKED in str(error)
            if isinstance(error, Unreachable) and passes:
                raise
            raise UserError(
                f"tracking.uri={mask(self.uri)}: MLflow cannot be used there ({_first_line(error)}); "
                "mend it, or go without with tracking.enabled=false"
            ) from None

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

        if isinstance(error, MlflowException):
            status = int(error.get_http_status_code())
            return status >= 500 or status in (401, 403, BUSY)
        return isinstance(error, (RequestException, ConnectionError, DBAPIError, TimeoutError))


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return mask(lines[0][:300]) if lines else type(error).__name__
