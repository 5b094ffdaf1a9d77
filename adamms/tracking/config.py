"""Where MLflow is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrackingConfig:
    uri: str = "sqlite:///mlflow.db"
    """Database or server of MLflow; one that does not answer gets everything later, by `adamms track RUN_DIR`."""
    experiment: str = "adamms"
    model: str = ""
    """Registered model that the winner becomes the champion of; empty: named after the pair and the task."""
    system_metrics: bool = True
    """Whether to log how busy this machine is."""
    enabled: bool = True
