"""What Dockerfile, Compose example and Kubernetes manifests promise; their form is looked at by `make manifests`."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.leaks import CANARY
from watcher.settings import load_settings

DEPLOY = Path(__file__).parents[2] / "deploy"
USER = 10001


def manifests(name: str = "watcher.yaml") -> dict[str, Any]:
    found = yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text())
    return {manifest["kind"]: manifest for manifest in found}


@pytest.fixture
def pod() -> Any:
    return manifests()["Deployment"]["spec"]["template"]["spec"]


@pytest.fixture
def container(pod: Any) -> Any:
    (only,) = pod["containers"]
    return only


@pytest.fixture
def stages() -> list[list[str]]:
    """The instructions of each stage of the Dockerfile, continued lines joined."""
    lines = (DEPLOY / "docker" / "Dockerfile").read_text().replace("\\\n", "").splitlines()
    told = "\n".join(line for line in lines if line and not line.startswith("#"))
    return [stage.splitlines() for stage in re.split(r"^FROM ", told, flags=re.MULTILINE)]


def test_the_image_is_built_in_two_stages_of_which_the_last_runs_nothing(stages: list[list[str]]) -> None:
    """So its base needs no shell, and what built the program is not in it."""
    _, build, last = stages

    assert any(line.startswith("RUN") for line in build)
    assert [line for line in last if line.startswith("RUN")] == []
    assert f"USER {USER}:{USER}" in last


def test_no_instruction_of_the_image_needs_a_shell(stages: list[list[str]]) -> None:
    words = {line.split()[0]: line for line in stages[-1]}

    assert 'CMD ["watcher", "healthcheck"]' in words["HEALTHCHECK"]
    assert words["ENTRYPOINT"] == 'ENTRYPOINT ["watcher"]'


def test_bases_are_pinned_to_a_whole_version(stages: list[list[str]]) -> None:
    pinned = re.compile(r":\d+\.\d+\.\d+-[a-z-]+$|@sha256:[0-9a-f]{64}$")
    compose = yaml.safe_load((DEPLOY / "docker" / "compose.example.yaml").read_text())

    assert pinned.search(stages[0][0])
    assert pinned.search(compose["services"]["driver"]["image"])


def test_what_the_image_is_built_from_is_let_through_to_the_engine(stages: list[list[str]]) -> None:
    root = DEPLOY.parent
    copied = [word for line in stages[1] if line.startswith("COPY") for word in line.split()[1:-1]]
    ignored = (root / ".dockerignore").read_text().splitlines()

    assert [word for word in copied if not (root / word).exists() or f"!{word}" not in ignored] == []


def test_the_sidecar_has_few_rights_and_its_secrets_in_files() -> None:
    compose = yaml.safe_load((DEPLOY / "docker" / "compose.example.yaml").read_text())
    watcher, driver = compose["services"]["watcher"], compose["services"]["driver"]

    assert watcher["read_only"] is True
    assert watcher["cap_drop"] == ["ALL"]
    assert watcher["security_opt"] == ["no-new-privileges:true"]
    for service in (watcher, driver):
        named = {name: value for name, value in service["environment"].items() if name.endswith("_FILE")}
        assert {Path(file).name for file in named.values()} == set(service["secrets"])
        assert set(service["secrets"]) <= set(compose["secrets"])


def test_there_is_one_pod_at_a_time() -> None:
    spec = manifests()["Deployment"]["spec"]

    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_the_pod_may_do_nothing_but_write_its_state(pod: Any, container: Any) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == USER
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    writable = {mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"state", "tmp"}


def test_the_pod_has_no_token_of_the_cluster(pod: Any) -> None:
    account = manifests()["ServiceAccount"]

    assert account["automountServiceAccountToken"] is pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == account["metadata"]["name"]


def test_the_probes_ask_what_they_are_for(container: Any) -> None:
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}

    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    assert {container[name]["httpGet"]["port"] for name in paths} == {container["ports"][0]["name"]}


def test_secrets_come_as_files_and_all_of_them_are_in_the_example(container: Any) -> None:
    secret = manifests("secret.example.yaml")["Secret"]
    folder = next(mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "secrets")
    files = [entry["value"] for entry in container["env"] if entry["name"].endswith("_FILE")]

    assert sorted(files) == sorted(f"{folder}/{name}" for name in secret["stringData"])
    assert not [entry for entry in container["env"] if "valueFrom" in entry]


def test_volumes_and_claims_name_what_is_there(pod: Any, container: Any) -> None:
    volumes = {volume["name"]: volume for volume in pod["volumes"]}

    assert set(volumes) == {mount["name"] for mount in container["volumeMounts"]}
    assert (
        volumes["state"]["persistentVolumeClaim"]["claimName"]
        == manifests()["PersistentVolumeClaim"]["metadata"]["name"]
    )
    assert volumes["config"]["configMap"]["name"] == manifests()["ConfigMap"]["metadata"]["name"]
    assert volumes["secrets"]["secret"]["secretName"] == manifests("secret.example.yaml")["Secret"]["metadata"]["name"]


def test_the_network_policy_lets_nobody_in_unasked_and_nothing_out_to_the_inside() -> None:
    policy = manifests()["NetworkPolicy"]["spec"]
    out = [block["ipBlock"] for rule in policy["egress"] for block in rule["to"] if "ipBlock" in block]

    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert all(rule["from"] and rule["ports"] for rule in policy["ingress"])
    assert {"169.254.0.0/16", "10.0.0.0/8", "fe80::/10"} <= {net for block in out for net in block["except"]}


def test_the_settings_in_the_manifest_are_settings(tmp_path: Path) -> None:
    file = tmp_path / "watcher.yaml"
    file.write_text(manifests()["ConfigMap"]["data"]["watcher.yaml"])
    environ = {"TOGETHER_API_KEY": CANARY, "TEAM_SLACK_URL": "json://receiver.example/"}

    assert load_settings(file, environ, docker_secrets=tmp_path / "none").receivers[0].name == "team"
