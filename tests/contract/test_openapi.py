"""The OpenAPI document as a contract: answers are as it says, and a client made of it works."""

import importlib
import json
import subprocess
import sys
from types import ModuleType

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from serving import bodies
from serving.app import create_app
from serving.envelope import ALWAYS
from serving.settings import Settings
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live
from tests.serving.asking import CARD

DOCUMENT = create_app().openapi()
OPERATIONS = [
    (path, method) for path, methods in DOCUMENT["paths"].items() for method in methods if method != "head"
]

PATIENT = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

# Rules that no schema can tell: what the models know, what is in a file, which fields go together.
BEYOND_SCHEMAS = {
    "unknown_label",
    "no_labels",
    "not_for_png",
    "not_with_noise",
    "noise_size",
    "too_many_frames",
}


@pytest.fixture(scope="module")
def url():
    with live(FakeBackend()) as url:
        yield url


@pytest.fixture(scope="module")
def schema(url):
    return schemathesis.openapi.from_url(f"{url}/openapi.json")


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_answers_are_as_openapi_says(schema, path, method):
    @settings(max_examples=8, deadline=None, suppress_health_check=PATIENT)
    @given(schema[path][method.upper()].as_strategy())
    def ask(case):
        answer = case.call(session=session)
        case.validate_response(answer, excluded_checks=[positive_data_acceptance])
        if answer.status_code == 422 and path in ("/generate", "/morph"):
            assert {fault["code"] for fault in answer.json()["errors"]} & BEYOND_SCHEMAS

    with requests.Session() as session:
        session.trust_env = False
        ask()


def test_every_operation_and_every_answer_is_described():
    for path, method in OPERATIONS:
        operation = DOCUMENT["paths"][path][method]
        assert operation["summary"]
        assert operation["description"]
        for status, answer in operation["responses"].items():
            assert answer["description"]
            assert "X-Request-ID" in answer["headers"]
            if int(status) >= 400:
                (media_type,) = answer["content"]
                assert media_type == "application/problem+json"
                for example in answer["content"][media_type]["examples"].values():
                    assert example["value"]["status"] == int(status)


def test_the_document_is_made_once():
    app = create_app()
    made = app.openapi()["components"]["schemas"]["Fault"]
    assert app.openapi()["components"]["schemas"]["Fault"] is made


def test_what_any_request_may_meet_is_described_for_every_operation(url):
    large = requests.Request("GET", f"{url}/healthz", data=b"x").prepare()
    large.headers["Content-Length"] = str(2**40)
    heavy = requests.Request("GET", f"{url}/healthz", headers={"X": "a" * 40_000}).prepare()
    coded = requests.Request("GET", f"{url}/healthz", headers={"Transfer-Encoding": "gzip"}).prepare()
    met = set()
    with requests.Session() as session:
        session.trust_env = False
        for asked in (large, heavy, coded):
            answer = session.send(asked, timeout=10)
            met.add(str(answer.status_code))
    assert met == {"413", "431", "501"}
    for path, method in OPERATIONS:
        assert {"400", "408", "500", "503", *met} <= set(DOCUMENT["paths"][path][method]["responses"])


COMMON = {name.lower() for name in (*ALWAYS, "Connection", "Content-Length", "Content-Type", "Date")}


def test_every_header_of_an_answer_is_described():
    asked = [
        ("GET", "/generate", {"params": {"seed": 7}}),
        ("GET", "/generate", {"params": {"seed": 7}, "headers": {"If-None-Match": "*"}}),
        ("GET", "/generate", {"params": {"seed": 7}, "headers": {"If-Match": '"other"'}}),
        ("GET", "/generate", {}),
        ("POST", "/generate", {"json": {"n": 2}}),
        ("POST", "/generate", {"headers": {"Accept": "image/png"}}),
        ("POST", "/generate", {"headers": {"Accept": "text/plain"}}),
        ("POST", "/generate", {"data": b"x", "headers": {"Content-Encoding": "gzip"}}),
        ("POST", "/morph", {"json": {"seeds": [1, 2]}}),
        ("POST", "/morph", {"data": b"{"}),
        ("POST", "/score", {"files": {"files": CARD}, "headers": {"Prefer": "handling=lenient"}}),
        ("POST", "/score", {"files": {"files": b"x"}}),
        ("GET", "/models", {}),
        ("GET", "/readyz", {}),
        ("GET", "/healthz", {}),
    ]
    backend, rated = FakeBackend(classes=("elves",)), Settings.model_validate({"rate_address": "100/minute"})
    with live(backend, rated) as url, requests.Session() as session:
        session.trust_env = False
        for method, path, options in asked:
            answer = session.request(method, url + path, timeout=10, **options)
            described = DOCUMENT["paths"][path][method.lower()]["responses"][str(answer.status_code)]
            told = {name.lower() for name in answer.headers} - COMMON
            assert told <= {name.lower() for name in described["headers"]}


def test_every_operation_that_asks_the_models_can_be_told_how_long_to_wait():
    for path, method in OPERATIONS:
        operation = DOCUMENT["paths"][path][method]
        waits = [each for each in operation.get("parameters", []) if each["name"] == "Prefer"]
        assert bool(waits) == ("504" in operation["responses"])
        assert all("wait=" in each["description"] for each in waits)
        assert bool(waits) == ("Preference-Applied" in operation["responses"]["200"]["headers"])


@pytest.mark.parametrize("name", ["Drawing", "Judgement", "Models", "Readiness", "Health", "Explanation"])
def test_the_example_of_an_answer_is_one(name):
    (example,) = DOCUMENT["components"]["schemas"][name]["examples"]
    assert getattr(bodies, name).model_validate(example).model_dump() == example


# --- a generated client

OCTETS = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/apng", "application/zip"]
CONFIG = {
    "content_type_overrides": {name: "application/octet-stream" for name in OCTETS}
    | {"application/problem+json": "application/json"},
    "post_hooks": [],
    "package_name_override": "made_client",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory, url):
    """The modules of a client that was made of the document, with a client of the gateway."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "openapi.json").write_text(json.dumps(DOCUMENT))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    options = (
        "--path openapi.json --config config.json --meta none --output-path made_client --fail-on-warning"
    )
    command = [sys.executable, "-m", "openapi_python_client", "generate", *options.split()]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    client = Made(url)
    yield client
    client.client.get_httpx_client().close()
    sys.path.remove(str(folder))


class Made:
    """A generated client, its modules by name."""

    def __init__(self, url: str) -> None:
        self.client = self["client"].Client(url, httpx_args={"trust_env": False})

    def __getitem__(self, name: str) -> ModuleType:
        return importlib.import_module(f"made_client.{name}")

    def ask(self, operation: str, **arguments):
        return self[f"api.default.{operation}"].sync(client=self.client, **arguments)


def test_a_generated_client_draws(made):
    body = made["models"].GenerateBody(n=2, seed=7)
    drawing = made.ask("generate", body=body)
    assert [card.seed for card in drawing.data] == [7, 8]
    card = made.ask("card", seed=7)
    assert card.payload.read().startswith(b"\x89PNG")


def test_a_generated_client_morphs(made):
    moving = made.ask("morph", body=made["models"].MorphBody(seeds=[1, 2], frames=3))
    assert moving.payload.read()[8:12] == b"WEBP"


def test_a_generated_client_scores(made):
    file = made["types"].File(payload=CARD, file_name="a.png", mime_type="image/png")
    judgement = made.ask("score", body=made["models"].ScoreFilesBody(files=[file, file]))
    assert [card.filename for card in judgement.data] == ["a.png", "a.png"]
    lenient = made.ask(
        "score",
        body=made["models"].ScoreFilesBody(files=[made["types"].File(payload=b"x", file_name="a")]),
        prefer="handling=lenient",
    )
    assert lenient.data[0].error.type_ == "/problems/unsupported-image"


def test_a_generated_client_reads_problems_and_what_the_models_are(made):
    problem = made.ask("generate", body=made["models"].GenerateBody(label="elves"))
    assert (problem.type_, problem.errors[0].code) == ("/problems/validation", "no_labels")
    assert made.ask("models").data[0].noise_size == 12
    assert (
        made.ask("readiness").status
        == made["models"]
        .Readiness.from_dict(requests.get(f"{made.client._base_url}/readyz", timeout=10).json())
        .status
    )
