"""The manifests in cluster/kuberay, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
KUBERAY = CLUSTER / "kuberay"
ASKED_FOR = {"search-rayjob.yaml", "sweep-raycronjob.yaml"}
"""What is not applied with the rest."""


def manifests() -> dict[str, dict[str, Any]]:
    """Every manifest, by file, kind and name."""
    found = {}
    for file in sorted(KUBERAY.glob("*.yaml")):
        if file.name == "kustomization.yaml":
            continue
        for document in yaml.safe_load_all(file.read_text()):
            metadata = document["metadata"]
            found[f"{file.name} {document['kind']} {metadata.get('name') or metadata['generateName']}"] = document
    return found


def within(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a manifest, however deep."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from within(item)


def pods(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The pod specifications in a manifest: what has containers."""
    return [mapping for mapping in within(manifest) if "containers" in mapping]


def ray_clusters(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The Ray clusters that a manifest makes."""
    return [mapping for mapping in within(manifest) if "headGroupSpec" in mapping]


def scaling(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that grow and shrink."""
    return [cluster for cluster in ray_clusters(manifest) if cluster.get("enableInTreeAutoscaling")]


def containers(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Containers, and the autoscaler's, which the operator makes from its options."""
    found = [container for pod in pods(manifest) for container in [*pod["containers"], *pod.get("initContainers", [])]]
    return found + [cluster["autoscalerOptions"] for cluster in scaling(manifest)]
