"""How changes reach the clusters: workflows, ArgoCD's applications, Terraform; linted, and of the manifests' names."""

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml

from tests.manifests.conftest import REPOSITORY, of_kind, ray_service
from tests.manifests.test_agreement import found, settings_of, texts
from tests.manifests.test_schemas import VERSION

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
TERRAFORM = REPOSITORY / "deploy" / "terraform"
REFERENCE = re.compile(r"\b((?:data\.)?(?:aws|random)_\w+)\.(\w+)\b")


def run(*command: str | Path) -> str:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tool(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def test_workflows_are_what_github_takes() -> None:
    assert len(WORKFLOWS) >= 4
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)


def test_workflows_have_no_known_hole() -> None:
    run(tool("zizmor"), "--offline", "--no-progress", "--config", ".github/zizmor.yml", ".github/workflows")


def test_what_a_release_asks_of_the_tag_holds_now() -> None:
    """release.yml looks for these lines: they must be there as long as nobody releases."""
    assert f'version = "{version("learnrec")}"' in (REPOSITORY / "pyproject.toml").read_text().splitlines()
    overlay = (REPOSITORY / "kuberay" / "overlays" / "production" / "kustomization.yaml").read_text()
    assert f"newTag: {version('learnrec')}-ray" in overlay


@cache
def application(name: str) -> dict[str, Any]:
    return yaml.safe_load((REPOSITORY / "deploy" / "argocd" / f"{name}.yaml").read_text())


@pytest.mark.parametrize("name", ["staging", "production"])
def test_applications_lead_to_overlays_that_the_project_allows(name: str) -> None:
    spec, project = application(name)["spec"], application("project")
    assert (REPOSITORY / spec["source"]["path"] / "kustomization.yaml").exists()
    assert spec["project"] == project["metadata"]["name"]
    assert spec["source"]["repoURL"] in project["spec"]["sourceRepos"]
    assert spec["destination"] in project["spec"]["destinations"]
    overlay = spec["source"]["path"].rpartition("/")[2]
    assert {
        one["metadata"].get("namespace", spec["destination"]["namespace"]) for one in of_kind(overlay, "Ingress")
    } == {spec["destination"]["namespace"]}


def test_staging_follows_by_itself_and_production_waits_for_a_person() -> None:
    assert application("staging")["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}
    assert "automated" not in application("production")["spec"]["syncPolicy"]
    assert application("staging")["spec"]["source"]["targetRevision"] == "main"
    assert application("production")["spec"]["source"]["targetRevision"] != "main"


def test_terraform_is_formatted() -> None:
    """Where Terraform is installed. ci.yml does it in any case, and validates with the providers."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed here")
    run("terraform", "fmt", "-check", "-recursive", TERRAFORM)


@cache
def blocks() -> tuple[dict[str, Any], ...]:
    options = hcl2.SerializationOptions(strip_string_quotes=True)
    return tuple(hcl2.loads(path.read_text(), serialization_options=options) for path in sorted(TERRAFORM.glob("*.tf")))


def declared(kind: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (resource, name): body
        for file in blocks()
        for block in file.get(kind, ())
        for resource, named in block.items()
        for name, body in named.items()
    }


def test_every_reference_of_terraform_is_declared() -> None:
    there = {f"{resource}.{name}" for resource, name in declared("resource")}
    there |= {f"data.{resource}.{name}" for resource, name in declared("data")}
    text = "\n".join(path.read_text() for path in sorted(TERRAFORM.glob("*.tf")))
    code = re.sub(r"#.*", "", text)
    asked = {f"{resource}.{name}" for resource, name in REFERENCE.findall(code)}
    assert asked
    assert not asked - there
    variables = {name for file in blocks() for block in file.get("variable", ()) for name in block}
    assert set(re.findall(r"\bvar\.(\w+)", code)) == variables
    local = {
        name for file in blocks() for block in file.get("locals", ()) for name in block if not name.startswith("__")
    }
    assert set(re.findall(r"\blocal\.(\w+)", code)) == local


def resource(kind: str, name: str) -> dict[str, Any]:
    return declared("resource")[kind, name]


def test_what_is_irreplaceable_is_kept_twice_and_for_long() -> None:
    database = resource("aws_db_instance", "main")
    assert (database["multi_az"], database["backup_retention_period"]) == (True, 35)
    assert (database["deletion_protection"], database["skip_final_snapshot"]) == (True, False)
    versioned = [body for (kind, _), body in declared("resource").items() if kind == "aws_s3_bucket_versioning"]
    assert len(versioned) == len([1 for kind, _ in declared("resource") if kind == "aws_s3_bucket"]) == 2
    assert all("Enabled" in texts(one) for one in versioned)
    assert "aws_s3_bucket_replication_configuration" in {kind for kind, _ in declared("resource")}
    assert resource("aws_elasticache_replication_group", "main")["automatic_failover_enabled"] is True


def test_everything_that_keeps_data_encrypts_it() -> None:
    assert resource("aws_db_instance", "main")["storage_encrypted"] is True
    cache_ = resource("aws_elasticache_replication_group", "main")
    assert (cache_["at_rest_encryption_enabled"], cache_["transit_encryption_enabled"]) == (True, True)
    assert "TLS" in texts(resource("aws_msk_cluster", "main"))
    assert resource("aws_launch_template", "machine")["block_device_mappings"][0]["ebs"][0]["encrypted"] is True


def test_terraform_and_the_manifests_speak_of_the_same_things() -> None:
    text = json.dumps(blocks())
    for account in of_kind("production", "ServiceAccount"):
        role = account["metadata"].get("annotations", {}).get("eks.amazonaws.com/role-arn")
        name = account["metadata"]["name"]
        assert (role is not None) == (f"system:serviceaccount:learnrec:{name}" in text)
        assert role is None or role.endswith(":role/learnrec-production-ray")
    keys = {one["key"] for secret in of_kind("production", "ExternalSecret") for one in found(secret, "extract")}
    keys |= {one["key"] for secret in of_kind("production", "ExternalSecret") for one in found(secret, "remoteRef")}
    assert keys == {"learnrec/production/settings", "learnrec/production/ray"}
    assert "learnrec/${var.environment}/${each.key}" in text
    (taint,) = resource("aws_eks_node_group", "batch")["taint"]
    groups = ray_service("production")["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    tolerated = [one["key"] for group in groups for one in group["template"]["spec"].get("tolerations", ())]
    assert tolerated == [taint["key"]]
    (network,) = [block["network"] for file in blocks() for block in file.get("variable", ()) if "network" in block]
    cidrs = {block["cidr"] for policy in of_kind("production", "NetworkPolicy") for block in found(policy, "ipBlock")}
    assert network["default"] in cidrs
    assert settings_of("production")["LEARNREC_OBJECT_STORE"] == "s3://learnrec-production"
    (variable,) = [
        block["kubernetes_version"]
        for file in blocks()
        for block in file.get("variable", ())
        if "kubernetes_version" in block
    ]
    assert variable["default"] == VERSION
