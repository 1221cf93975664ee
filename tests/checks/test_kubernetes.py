"""The manifests and the chart of Kubernetes, rendered by kubectl and Helm, and checked against the cluster's schemas.

Kinds of other projects (Prometheus Operator, KServe) have no schema here: of them the tests know the fields that refer
to ours.
"""

import copy
import functools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from service import __version__
from service.settings import Settings
from tests.checks.places import ROOT
from tests.kubernetes_tools import find_helm, find_kubectl

kubernetes_validate = pytest.importorskip("kubernetes_validate")

KUBERNETES = ROOT / "deploy" / "kubernetes"
CHART = ROOT / "deploy" / "helm" / "unroll"
FOREIGN = {"monitoring.coreos.com", "serving.kserve.io"}
Object = dict[str, Any]
#: Everything that can be combined, so that each line of the chart and of the components is rendered.
EVERYTHING = {
    "tls": {"existingSecret": "unroll-tls"},
    "models": {"existingClaim": "unroll-models"},
    "imagePullSecrets": [{"name": "registry"}],
    "image": {"digest": f"sha256:{'0' * 64}"},
    "settings": {"UNROLL_MAX_BODY_BYTES": 1048576, "UNROLL_TENANT_LIMITS": "sessions=10", "UNROLL_DETERMINISTIC": True},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {"storeCidrs": ["203.0.113.0/24"], "clientNamespaceLabels": {}},
    "service": {"annotations": {"a": "b"}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"a": "b"},
    "nodeSelector": {"a": "b"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
}
NOTHING = {
    "keys": {"enabled": False},
    "grpc": {"enabled": False},
    "autoscaling": {"enabled": False},
    "podDisruptionBudget": {"enabled": False},
    "networkPolicy": {"enabled": False},
}


def objects(text: str) -> list[Object]:
    return [found for found in yaml.safe_load_all(text) if found]


@functools.cache
def kustomized(folder: Path) -> list[Object]:
    kubectl = find_kubectl()
    if kubectl is None:
        pytest.skip("needs kubectl")
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "kustomize warns of what it will not read any more"
    return objects(done.stdout)


def combined(folder: Path, *components: str) -> list[Object]:
    """The base with components, as an overlay of an operator has them."""
    folder.mkdir(parents=True, exist_ok=True)
    places = [os.path.relpath(KUBERNETES / "components" / name, folder.resolve()) for name in components]
    base = os.path.relpath(KUBERNETES / "base", folder.resolve())
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"resources": [base], "components": places}))
    return kustomized(folder)


def templated(folder: Path, values: Object) -> list[Object]:
    helm = find_helm()
    if helm is None:
        pytest.skip("needs helm")
    (folder / "values.yaml").write_text(yaml.safe_dump(values))
    command = [helm, "template", "unroll", CHART, "--values", folder / "values.yaml", "--namespace", "unroll"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"HOME": str(folder)})
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


def assert_valid(found: list[Object]) -> None:
    """Raises if an object of Kubernetes' own kinds has a wrong or unknown field, or lacks one."""
    assert found
    for item in found:
        if item["apiVersion"].partition("/")[0] not in FOREIGN:
            kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)


def only(found: list[Object], kind: str, name: str | None = None) -> Object:
    (item,) = [item for item in found if item["kind"] == kind and name in {None, item["metadata"]["name"]}]
    return item


def settings_of(found: list[Object]) -> dict[str, str]:
    (item,) = [item for item in found if item["kind"] == "ConfigMap"]
    settings: dict[str, str] = item["data"]
    return settings


@pytest.fixture(scope="module")
def base() -> list[Object]:
    return kustomized(KUBERNETES / "base")


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    return templated(tmp_path_factory.mktemp("chart"), {})


def test_a_wrong_manifest_is_noticed(base: list[Object]) -> None:
    wrong = copy.deepcopy(base)
    only(wrong, "Deployment")["spec"]["template"]["spec"]["containers"][0]["livenessProbes"] = {}
    with pytest.raises(Exception, match="livenessProbes"):
        assert_valid(wrong)


@pytest.mark.parametrize("overlay", ["development", "production"])
def test_the_overlays_are_valid(overlay: str) -> None:
    found = kustomized(KUBERNETES / "overlays" / overlay)
    assert_valid(found)
    (namespace,) = {item["metadata"]["namespace"] for item in found if item["kind"] != "Namespace"}
    assert only(found, "Namespace")["metadata"]["name"] == namespace
    labels = only(found, "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("values", [{}, EVERYTHING, NOTHING], ids=["defaults", "everything", "nothing"])
def test_the_chart_is_valid(values: Object, tmp_path: Path) -> None:
    found = templated(tmp_path, values)
    assert_valid(found)
    assert set(settings_of(found)) <= {f"UNROLL_{name.upper()}" for name in Settings.model_fields}


def test_the_chart_refuses_values_that_it_does_not_know(tmp_path: Path) -> None:
    for values in ({"replica": 1}, {"workers": 0}, {"settings": {"UNROLL_PORT": 1}}, {"tls": {"secret": "a"}}):
        with pytest.raises(AssertionError, match="schema"):
            templated(tmp_path, values)


def test_the_chart_has_the_same_objects_as_the_base(base: list[Object], chart: list[Object]) -> None:
    """Two ways to one deployment: whatever one of them gains, the other one must gain."""
    assert {item["kind"] for item in chart} == {item["kind"] for item in base}
    for kind in sorted({item["kind"] for item in base} - {"ConfigMap"}):
        assert plain(only(chart, kind)) == plain(only(base, kind)), kind
    assert settings_of(chart) == settings_of(base)


def plain(item: Object) -> Object:
    """An object without what a chart adds, and without defaults that one of both writes."""
    text = yaml.safe_dump(item, width=1000)
    text = re.sub(r" *app\.kubernetes\.io/(instance|version|managed-by): .*\n", "", text)
    text = re.sub(r" *(helm\.sh/chart|checksum/settings|scheme: HTTP\b|type: ClusterIP)[^\n]*\n", "", text)
    text = re.sub(r"unroll-settings[-\w]*", "unroll-settings", text)
    parsed: Object = yaml.safe_load(text)
    return parsed


@pytest.mark.parametrize("found", ["base", "chart"])
def test_pods_have_no_rights_and_write_nothing_but_what_is_mounted(
    found: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    pod = only(request.getfixturevalue(found), "Deployment")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/data", "/keys", "/tmp"}  # noqa: S108


def test_the_pods_user_is_that_of_the_image(base: list[Object]) -> None:
    user, group = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)[0]
    context = only(base, "Deployment")["spec"]["template"]["spec"]["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (int(user), int(group), int(group))


def test_a_pod_has_the_time_to_drain(base: list[Object]) -> None:
    settings = settings_of(base)
    grace, drain = float(settings["UNROLL_GRACE_SECONDS"]), float(settings["UNROLL_DRAIN_SECONDS"])
    pod = only(base, "Deployment")["spec"]["template"]["spec"]
    assert drain == 5 < grace
    assert pod["terminationGracePeriodSeconds"] >= grace + 5


def test_a_pod_may_start_for_as_long_as_a_model_may_load(base: list[Object]) -> None:
    (container,) = only(base, "Deployment")["spec"]["template"]["spec"]["containers"]
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] > Settings.model_fields["model_load_seconds"].default
    assert probe["httpGet"]["path"] == container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"


def test_store_and_keys_come_from_secrets_alone(base: list[Object]) -> None:
    pod = only(base, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    store, keys = container["env"]
    assert store == {"name": "REDIS_URL", "valueFrom": {"secretKeyRef": {"name": "unroll-store", "key": "url"}}}
    assert keys == {"name": "UNROLL_API_KEYS_FILE", "value": "/keys/keys.json"}
    (volume,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    assert volume == {"secretName": "unroll-keys", "defaultMode": 0o440}


def test_production_has_no_secret_of_its_own_and_development_no_keys() -> None:
    assert [item for item in kustomized(KUBERNETES / "overlays" / "production") if item["kind"] == "Secret"] == []
    development = kustomized(KUBERNETES / "overlays" / "development")
    (container,) = only(development, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert [entry["name"] for entry in container["env"]] == ["REDIS_URL"]
    secret = only(development, "Secret")["metadata"]["name"]
    assert container["env"][0]["valueFrom"]["secretKeyRef"]["name"] == secret
    store = only(development, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "noeviction" in store


def test_every_selector_finds_the_pods(base: list[Object]) -> None:
    labels = only(base, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    for kind, key in (("Service", "selector"), ("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        selector = only(base, kind)["spec"][key]
        assert selector.get("matchLabels", selector).items() <= labels, kind
    assert only(base, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == "unroll"


def test_the_autoscaler_asks_for_a_metric_that_there_is(base: list[Object]) -> None:
    pods, processor = only(base, "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert pods["pods"]["metric"]["name"] == "unroll_queue_depth"
    assert "unroll_queue_depth" in (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert processor["resource"]["name"] == "cpu"


def test_tls_and_a_volume_of_models_can_be_combined(tmp_path: Path) -> None:
    found = combined(tmp_path / "a" / "b", "monitoring", "tls", "models-volume")
    assert_valid(found)
    pod = only(found, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["scheme"] == "HTTPS"
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["tls"] == "/tls"
    assert mounts["models"] == "/models"
    assert settings_of(found)["UNROLL_TLS_KEY"] == "/tls/tls.key"
    assert only(found, "ServiceMonitor")["spec"]["endpoints"][0]["scheme"] == "https"


@pytest.mark.parametrize("place", ["production", "chart"])
def test_prometheus_finds_the_service_with_a_key(place: str, tmp_path: Path) -> None:
    monitored = {"serviceMonitor": {"enabled": True}}
    production = KUBERNETES / "overlays" / "production"
    found = kustomized(production) if place == "production" else templated(tmp_path, monitored)
    spec, service = only(found, "ServiceMonitor")["spec"], only(found, "Service")
    (endpoint,) = spec["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert endpoint["authorization"]["credentials"] == {"name": "unroll-metrics", "key": "api-key"}
    assert service["metadata"]["labels"][spec["jobLabel"]] == "unroll"


def test_the_alert_rules_are_those_of_prometheus() -> None:
    command = [sys.executable, KUBERNETES / "rules.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_chart_carries_the_rules(tmp_path: Path) -> None:
    rule = only(templated(tmp_path, {"prometheusRule": {"enabled": True}}), "PrometheusRule")
    written = yaml.safe_load((KUBERNETES / "components" / "monitoring" / "prometheus-rule.yaml").read_text("utf-8"))
    assert rule["spec"] == written["spec"]


def test_kserve_serves_version_2_of_its_protocol_from_where_it_mounts_models() -> None:
    (runtime,) = objects((KUBERNETES / "kserve" / "serving-runtime.yaml").read_text("utf-8"))
    (service,) = objects((KUBERNETES / "kserve" / "inference-service.yaml").read_text("utf-8"))
    assert runtime["spec"]["protocolVersions"] == ["v2"]
    (container,) = runtime["spec"]["containers"]
    settings = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert container["name"] == "kserve-container"
    assert settings["UNROLL_MODELS"] == "/mnt/models"
    assert int(settings["UNROLL_PORT"] or 0) == container["ports"][0]["containerPort"]
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"] in [
        {"name": found["name"], "version": found["version"]} for found in runtime["spec"]["supportedModelFormats"]
    ]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "unroll"}}
    spec = {key: runtime["spec"][key] for key in ("containers", "volumes")}
    kubernetes_validate.validate(pod | {"spec": spec}, kubernetes_validate.latest_version(), strict=True)


def test_every_release_number_is_this_release() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    tags = {}
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        for found in re.findall(r"\bnewTag: (\S+)|\bimage: unroll:(\S+)", path.read_text("utf-8")):
            tags[path.name] = "".join(found)
    assert set(tags.values()) == {__version__}, tags
