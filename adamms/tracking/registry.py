"""Candidates as MLflow's logged models, and the winner in its model registry: a version that points at the checkpoint's
folder; nothing is copied."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from adamms.tracking.server import Server

_DEFAULT = threading.Lock()
"""Held by the one thread that changes which server MLflow takes where none is named."""


def logged_models(server: Server, search: str) -> Iterator[Any]:
    """All of one search that are complete."""
    token = None
    while True:
        of_search = f"tags.`adamms.search` = '{search}'"
        page = server.client.search_logged_models([server.experiment], of_search, page_token=token)
        yield from (model for model in page if model.status == "READY")
        token = page.token
        if not token:
            return


def log_candidate(server: Server, search: str, run: str, value: str, name: str, params: Mapping[str, str]) -> str:
    """Makes a candidate a logged model of its run, unless it is one; gives its id.

    Args:
        search: key of the search, and `run` the id of the candidate's run.
        value: of the coefficient.
    """
    from mlflow.entities import LoggedModelOutput

    found = next((model for model in logged_models(server, search) if model.tags.get("alpha") == value), None)
    if found is None:
        found = _external(server, name, run, params, {"adamms.search": search, "alpha": value})
        server.client.log_outputs(run, [LoggedModelOutput(found.model_id, step=0)])
    return str(found.model_id)


def register(
    server: Server, search: str, run: str, name: str, checkpoint: str, params: Mapping[str, str], champion: bool
) -> None:
    """Makes `checkpoint` a version of the registered model `name`; one of the same search and alpha is used again, and
    says where the checkpoint lies now.

    Args:
        search: key of the search, and `run` the id of its run in MLflow.
        champion: whether it is the one to take.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.exceptions import MlflowException

    client = server.client
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # set on creation, so that a version found by it is complete; the same winner of the same search is one version
    winner = {"adamms.search": search, "alpha": params["alpha"]}
    tags, place = {**winner, "checkpoint": checkpoint}, f"Checkpoint: {checkpoint}"
    same = [v for v in client.search_model_versions(f"name = '{name}'") if winner.items() <= v.tags.items()]
    if same:
        version = same[0].version
        if same[0].tags["checkpoint"] != checkpoint:
            client.set_model_version_tag(name, version, "checkpoint", checkpoint)
            client.update_model_version(name, version, place)
    else:
        model = next((m for m in logged_models(server, search) if winner.items() <= m.tags.items()), None)
        model = model or _external(server, name, run, params, tags)
        client.set_logged_model_tags(model.model_id, {"checkpoint": checkpoint})
        client.log_outputs(run, [LoggedModelOutput(model.model_id, step=0)])  # the search shows its winner
        source = f"models:/{model.model_id}"
        with _by_default(server):
            version = client.create_model_version(
                name, source, run_id=run, tags=tags, model_id=model.model_id, description=place
            ).version
    if champion:
        client.set_registered_model_alias(name, "champion", version)


def _external(server: Server, name: str, run: str, params: Mapping[str, str], tags: Mapping[str, str]) -> Any:
    """A new logged model whose weights MLflow does not keep."""
    import mlflow

    with _by_default(server):
        return mlflow.create_external_model(
            name=name, source_run_id=run, params=dict(params), tags=dict(tags), experiment_id=server.experiment
        )


@contextmanager
def _by_default(server: Server) -> Iterator[None]:
    """Within the block, the server is the one that MLflow takes where none is named: its own look-up of a logged model
    knows no other way. `mlflow.set_tracking_uri` would leave the address to the next search and to child processes, by
    MLFLOW_TRACKING_URI."""
    from mlflow.tracking._tracking_service import utils

    with _DEFAULT:
        before = utils._tracking_uri
        utils._tracking_uri = server.uri
        try:
            yield
        finally:
            utils._tracking_uri = before
