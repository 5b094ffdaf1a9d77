"""The winner in MLflow's model registry: a version that points at the checkpoint's folder; nothing is copied."""

from collections.abc import Mapping

from adamms.tracking.server import Server


def register(
    server: Server, search: str, run: str, name: str, checkpoint: str, params: Mapping[str, str], champion: bool
) -> None:
    """Makes `checkpoint` a version of the registered model `name`; one of the same search and alpha is used again, and
    says where the checkpoint lies now.

    Args:
        search: key of the search, and `run` the id of its run in MLflow.
        champion: whether it is the one to take.
    """
    import mlflow
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
        mlflow.set_tracking_uri(server.uri)  # MLflow's own look-up of the source knows no other way
        made = client.search_logged_models([server.experiment], f"tags.`adamms.search` = '{search}'")
        model = next((m for m in made if winner.items() <= m.tags.items() and m.status == "READY"), None)
        model = model or mlflow.create_external_model(
            name=name, source_run_id=run, params=dict(params), tags=tags, experiment_id=server.experiment
        )
        source = f"models:/{model.model_id}"
        version = client.create_model_version(
            name, source, run_id=run, tags=tags, model_id=model.model_id, description=place
        ).version
    if champion:
        client.set_registered_model_alias(name, "champion", version)
