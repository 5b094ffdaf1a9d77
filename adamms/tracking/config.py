"""Where MLflow is."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrackingConfig:
    uri: str = ""
    """Database or server of MLflow; empty: what MLFLOW_TRACKING_URI names, else a database in the run folder. One that
    does not answer gets everything later, by `adamms track RUN_DIR`."""
    experiment: str = "adamms"
    """MLflow's experiment; made where it is missing."""
    model: str = ""
    """Registered model that the winner becomes the champion of; empty: named after the pair and the task."""
    system_metrics: bool = True
    """Whether to log how busy this machine is."""
    enabled: bool = True
    """Whether MLflow is told anything."""

    def address(self, folder: Path) -> str:
        """Where the run in a folder is delivered to."""
        return self.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve() / 'mlflow.db'}"
