"""The Ray cluster launcher's file against Ray's own schema, and its AWS part against Amazon's."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.cluster.manifests import CLUSTER

CONFIG: dict[str, Any] = yaml.safe_load((CLUSTER / "launcher" / "aws.yaml").read_text())
NODES: dict[str, Any] = CONFIG["available_node_types"]


def test_it_is_as_ray_s_schema_says() -> None:
    from ray.autoscaler._private.util import validate_config

    validate_config(CONFIG)


@pytest.mark.parametrize("node", NODES)
def test_ec2_s_api_knows_every_field_of_a_node(node: str) -> None:
    check_ec2("RunInstances", NODES[node]["node_config"] | {"MinCount": 1, "MaxCount": 1})


def test_ec2_s_api_knows_every_field_of_the_security_group() -> None:
    group = CONFIG["provider"]["security_group"]
    check_ec2("AuthorizeSecurityGroupIngress", {"IpPermissions": group["IpPermissions"]})


def check_ec2(operation: str, parameters: dict[str, Any]) -> None:
    """As boto3 checks what Ray gives it, before anything is sent."""
    from botocore.session import Session
    from botocore.validate import ParamValidator

    shape = Session().get_service_model("ec2").operation_model(operation).input_shape
    report = ParamValidator().validate(parameters, shape)
    assert not report.has_errors(), report.generate_report()


def test_only_ssh_from_a_known_network_comes_in() -> None:
    (rule,) = CONFIG["provider"]["security_group"]["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"]) == (22, 22)
    assert all(not allowed["CidrIp"].endswith("/0") for allowed in rule["IpRanges"])


def test_the_dashboard_is_on_the_loopback_interface_and_asks_for_a_token() -> None:
    (start,) = [command for command in CONFIG["head_start_ray_commands"] if "--head" in command]
    assert "--dashboard-host=127.0.0.1" in start
    assert "--env RAY_AUTH_MODE=token" in CONFIG["docker"]["run_options"]
    assert CONFIG["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}


def test_the_cluster_starts_with_a_gpu() -> None:
    """An engine asks for a GPU only where the cluster has one when it starts."""
    assert NODES["gpu"]["min_workers"] > 0


def test_workers_are_spot_instances_and_the_head_is_not() -> None:
    spot = {name for name, node in NODES.items() if "InstanceMarketOptions" in node["node_config"]}
    assert spot == {"gpu", "cpu"}
    assert CONFIG["head_node_type"] == "head"
    assert NODES["head"]["resources"] == {"CPU": 0}
    assert sum(NODES[name]["max_workers"] for name in spot) == CONFIG["max_workers"]


def test_disks_are_encrypted_and_metadata_need_a_session() -> None:
    for node in NODES.values():
        assert all(disk["Ebs"]["Encrypted"] for disk in node["node_config"]["BlockDeviceMappings"])
        assert node["node_config"]["MetadataOptions"]["HttpTokens"] == "required"


def test_the_shared_file_system_is_mounted_before_the_container_that_has_it() -> None:
    assert any("mount -t nfs4" in command for command in CONFIG["initialization_commands"])
    assert "--volume /shared:/shared" in CONFIG["docker"]["run_options"]
    assert "--env HF_HOME=/shared/huggingface" in CONFIG["docker"]["run_options"]
