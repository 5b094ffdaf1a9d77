"""Schemas that KubeRay publishes, read as its API server would: a field that a schema does not know is an error."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate

SCHEMAS = Path(__file__).parent
KUBERNETES = "1.34"
"""Whose schemas the core kinds are held against."""


def check(manifest: dict[str, Any]) -> None:
    """Raises what is wrong with a manifest, of Kubernetes' own kinds or of KubeRay's."""
    if manifest["apiVersion"].startswith("ray.io/"):
        validator(manifest["kind"]).validate(manifest)
        # The API server checks the metadata of every kind alike; KubeRay's schemas leave them open.
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": manifest["metadata"]}
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@cache
def validator(kind: str) -> jsonschema.Draft202012Validator:
    schema = json.loads(gzip.decompress((SCHEMAS / f"{kind}.json.gz").read_bytes()))
    return jsonschema.Draft202012Validator(closed(schema))


def closed(schema: Any) -> Any:
    """A structural schema knows all fields of an object but where it says that it does not."""
    if isinstance(schema, list):
        return [closed(value) for value in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    is_object = schema.get("type") == "object" and isinstance(schema.get("properties"), dict)
    open_ended = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    return found | {"additionalProperties": False} if is_object and not open_ended else found
