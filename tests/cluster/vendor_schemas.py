"""Takes the schemas of KubeRay's resources over from a clone of its repository, without their descriptions.

python -m tests.cluster.vendor_schemas CLONE TAG
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from typing import Any

import yaml

from tests.cluster.schemas import SCHEMAS

RESOURCES = ("rayclusters", "rayjobs", "raycronjobs")


def main(clone: str, tag: str) -> None:
    for resource in RESOURCES:
        path = f"{tag}:ray-operator/config/crd/bases/ray.io_{resource}.yaml"
        text = subprocess.run(["git", "-C", clone, "show", path], check=True, capture_output=True).stdout
        definition = yaml.load(text, Loader=yaml.CSafeLoader)["spec"]
        (version,) = [version for version in definition["versions"] if version["name"] == "v1"]
        schema = json.dumps(undescribed(version["schema"]["openAPIV3Schema"]), sort_keys=True, separators=(",", ":"))
        file = SCHEMAS / f"{definition['names']['kind']}.json.gz"
        file.write_bytes(gzip.compress(schema.encode(), mtime=0))  # no time: the same schema gives the same file


def undescribed(schema: Any) -> Any:
    """The schema without its prose. (A property may itself be named description: that one is a mapping.)"""
    if isinstance(schema, dict):
        prose = {key for key, value in schema.items() if key == "description" and isinstance(value, str)}
        return {key: undescribed(value) for key, value in schema.items() if key not in prose}
    if isinstance(schema, list):
        return [undescribed(value) for value in schema]
    return schema


if __name__ == "__main__":
    main(*sys.argv[1:])
