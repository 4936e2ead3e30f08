"""What can be known of docker/ without a docker daemon."""

# tensorflow-serving-api makes its classes at run time, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi import FastAPI

from serving.access_metrics import show_access
from serving.batch_metrics import BatchMetrics
from serving.connection_metrics import ConnectionMetrics
from serving.contract import MODELS
from serving.metrics import Metrics
from serving.rates import MemoryStore
from serving.server import configure
from serving.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
FLAGS = (Path(__file__).parent / "tfserving_flags.txt").read_text().split()
"""Flags of tensorflow_model_server 2.20.0. One that it does not know it only prints, and goes on without."""

SERVICES: dict[str, Any] = yaml.safe_load((DOCKER / "services.yaml").read_text())["services"]
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
VARIABLE = re.compile(r"\$\{(HOLOFOIL_\w+):-([^}]*)\}")
COMPOSE_ITSELF = {
    "HOLOFOIL_BASE_IMAGE",
    "HOLOFOIL_STORE",
    "HOLOFOIL_TENSORFLOW",
    "HOLOFOIL_TFSERVING_IMAGE",
}


TO_CLOSE = 5.0
"""Seconds that the gateway may need to close its backend, its stores and its traces."""


def with_defaults(text: str) -> str:
    return VARIABLE.sub(lambda match: match[2], text)


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", dockerfile.read_text())).splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def setting(name: str) -> str:
    return f"HOLOFOIL_{name.upper()}"


def test_compose_reads_the_services_with_paths_from_the_top() -> None:
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    assert compose["include"] == [{"path": "services.yaml", "project_directory": ".."}]
    assert set(SERVICES) == {"tfserving", "gateway", "training"}


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_from_elsewhere_has_a_version(service: str) -> None:
    image = with_defaults(SERVICES[service]["image"])
    name, _, tag = image.partition(":")
    assert tag == "local" if "build" in SERVICES[service] else re.match(r"\d+\.\d+", tag), name


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_a_base_image_has_a_version(dockerfile: Path) -> None:
    defaults = dict(value.split("=", 1) for word, value in instructions(dockerfile) if word == "ARG")
    froms = [value.split()[0] for word, value in instructions(dockerfile) if word == "FROM"]
    assert set(froms) == {"${BASE_IMAGE}"}
    assert re.fullmatch(r"python:\d+\.\d+-slim", defaults["BASE_IMAGE"])


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_a_base_image_has_a_python_that_the_project_supports(dockerfile: Path) -> None:
    python = re.search(r"python:3\.(\d+)", dockerfile.read_text())
    supported = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    bounds = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", supported)
    assert python
    assert bounds
    assert int(bounds[1]) <= int(python[1]) < int(bounds[2])


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_does_not_run_as_root(dockerfile: Path) -> None:
    words = [word for word, _ in instructions(dockerfile)]
    last_stage = instructions(dockerfile)[len(words) - words[::-1].index("FROM") :]
    assert [value for word, value in last_stage if word == "USER"][-1:] == ["10001:10001"]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_what_is_copied_exists_and_is_not_ignored(dockerfile: Path) -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [value.split() for word, value in instructions(dockerfile) if word == "COPY"]
    sources = {source for words in copied if not words[0].startswith("--from") for source in words[:-1]}
    assert sources <= kept
    assert all((ROOT / source).exists() for source in kept)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_a_dockerfile_builds_without_buildkit(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    assert not text.startswith("# syntax")
    assert "--mount" not in text


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_an_entrypoint_is_a_script_of_the_project_without_a_shell(dockerfile: Path) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    entrypoints = [yaml.safe_load(value) for word, value in instructions(dockerfile) if word == "ENTRYPOINT"]
    assert len(entrypoints) == 1
    assert len(entrypoints[0]) == 1
    assert entrypoints[0][0] in scripts


def test_only_the_gateway_is_published_and_only_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert {name: [with_defaults(port) for port in ports] for name, ports in published.items()} == {
        "gateway": ["127.0.0.1:8000:8000"]
    }


def test_tensorflow_serving_is_on_the_internal_network_alone() -> None:
    networks = yaml.safe_load((DOCKER / "services.yaml").read_text())["networks"]
    assert SERVICES["tfserving"]["networks"] == ["models"]
    assert networks["models"]["internal"] is True
    assert "models" in SERVICES["gateway"]["networks"]
    assert "network_mode" not in SERVICES["tfserving"]


@pytest.mark.parametrize("service", ["tfserving", "gateway"])
def test_a_server_has_no_more_rights_than_it_needs(service: str) -> None:
    its = SERVICES[service]
    assert its["read_only"] is True
    assert its["cap_drop"] == ["ALL"]
    assert its["security_opt"] == ["no-new-privileges:true"]
    assert its["tmpfs"] == ["/tmp"]
    assert {"mem_limit", "pids_limit"} <= its.keys()
    assert not {"privileged", "cap_add", "devices"} & its.keys()


def test_the_models_and_the_config_are_read_only() -> None:
    assert all(with_defaults(volume).endswith(":ro") for volume in SERVICES["tfserving"]["volumes"])


def test_a_store_can_be_a_folder_or_the_volume_that_training_exports_to() -> None:
    volumes = yaml.safe_load((DOCKER / "services.yaml").read_text())["volumes"]
    assert SERVICES["tfserving"]["volumes"][0] == "${HOLOFOIL_STORE:-./serving/models}:/models:ro"
    assert SERVICES["training"]["volumes"][-1] == "store:/store"
    assert "store" in volumes


def test_every_variable_is_a_setting_or_is_for_compose() -> None:
    settings = {setting(name) for name in Settings.model_fields}
    used = set(re.findall(r"HOLOFOIL_[A-Z_]+", "".join(path.read_text() for path in DOCKER.glob("*.*"))))
    assert used <= settings | COMPOSE_ITSELF
    assert set(SERVICES["gateway"]["environment"]) <= settings


def test_every_setting_reaches_the_gateway() -> None:
    wanted = {setting(name) for name in Settings.model_fields} - {"HOLOFOIL_MODELS"}
    assert set(SERVICES["gateway"]["environment"]) == wanted


def test_docker_kills_no_gateway_that_still_drains() -> None:
    settings = Settings()
    finishing = configure(FastAPI(), settings).timeout_graceful_shutdown
    assert finishing
    grace = float(SERVICES["gateway"]["stop_grace_period"].removesuffix("s"))
    assert grace >= settings.drain_delay + finishing + TO_CLOSE


def test_the_gateway_asks_tensorflow_serving_where_it_listens() -> None:
    name, _, port = SERVICES["gateway"]["environment"]["HOLOFOIL_TFSERVING"].partition(":")
    assert f"--port={port}" in SERVICES[name]["command"]


def test_the_gateway_waits_for_no_model() -> None:
    assert SERVICES["gateway"]["depends_on"] == {"tfserving": {"condition": "service_started"}}


def test_every_flag_is_one_of_tensorflow_serving() -> None:
    names = [flag.removeprefix("--").partition("=")[0] for flag in SERVICES["tfserving"]["command"]]
    assert set(names) <= set(FLAGS)
    assert len(names) == len(set(names))


def test_a_flag_that_names_a_file_names_one_that_is_mounted() -> None:
    assert "./docker/tfserving:/config:ro" in SERVICES["tfserving"]["volumes"]
    named = [
        flag.partition("=/config/")[2] for flag in SERVICES["tfserving"]["command"] if "/config/" in flag
    ]
    assert sorted(named) == sorted(path.name for path in (DOCKER / "tfserving").iterdir())


def test_every_metric_that_is_watched_is_one_that_the_gateway_has() -> None:
    metrics = Metrics()
    show_access(metrics, None, MemoryStore())
    BatchMetrics(metrics)
    ConnectionMetrics(metrics)
    exposed: set[str] = set()
    for family in metrics.registry.collect():
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        exposed |= {family.name + ending for ending in endings}
    pages = [DOCKER / "README.md", DOCKER / "prometheus/alerts.yml"]
    used = set(re.findall(r"holofoil_[a-z_]+", "".join(page.read_text() for page in pages)))
    assert len(used) > 10
    assert used <= exposed


def alerts() -> list[dict[str, Any]]:
    return yaml.safe_load((DOCKER / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]


def test_every_alert_says_what_it_is_and_the_readme_what_to_do() -> None:
    readme = (DOCKER / "README.md").read_text()
    told = re.findall(r"(?m)^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", readme.partition("| alert |")[2])
    assert sorted(told) == sorted(alert["alert"] for alert in alerts())
    assert all(alert["annotations"]["summary"] for alert in alerts())


def test_the_alert_for_memory_knows_the_limit() -> None:
    (expression,) = (alert["expr"] for alert in alerts() if alert["alert"] == "MemoryNearLimit")
    assert expression.endswith("0.85 * 1024 * 1024 * 1024")
    assert SERVICES["gateway"]["mem_limit"] == "1g"


def test_slow_clients_set_off_no_alert() -> None:
    assert not [alert["alert"] for alert in alerts() if "http_request_seconds" in alert["expr"]]


def test_prometheus_asks_where_the_services_answer() -> None:
    config = yaml.safe_load((DOCKER / "prometheus/prometheus.yml").read_text())
    assert config["rule_files"] == ["alerts.yml"]
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    port = SERVICES["gateway"]["environment"]["HOLOFOIL_METRICS"].partition(":")[2]
    assert jobs["gateway"]["dns_sd_configs"] == [{"names": ["gateway"], "type": "A", "port": int(port)}]
    assert jobs["tfserving"]["metrics_path"] in (DOCKER / "tfserving/monitoring.pbtxt").read_text()
    assert jobs["tfserving"]["static_configs"] == [{"targets": ["tfserving:8501"]}]
    rules = yaml.safe_load((DOCKER / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    assert {rule["labels"]["severity"] for rule in rules} == {"page", "morning"}


def test_the_models_served_are_those_of_the_contract() -> None:
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    config = text_format.Parse(
        (DOCKER / "tfserving/models.pbtxt").read_text(), model_server_config_pb2.ModelServerConfig()
    )
    assert {model.name: model.base_path for model in config.model_config_list.config} == {
        model: f"/models/{model}" for model in MODELS
    }


def test_health_asks_for_both_models() -> None:
    command, shell, option, script = SERVICES["tfserving"]["healthcheck"]["test"]
    assert (command, shell, option) == ("CMD", "bash", "-c")
    assert shlex.split(script.splitlines()[0].removesuffix("; do"))[3:] == list(MODELS)
    assert "--rest_api_port=8501" in SERVICES["tfserving"]["command"]
    assert "/dev/tcp/127.0.0.1/8501" in script
