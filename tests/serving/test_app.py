"""What the application as a whole answers, over real sockets: failures, headers, the page, OpenAPI."""

import json
import re

import pytest

from serving.backend import BackendError, BadAnswer, DeadlineExceeded, NotReady, Unavailable
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live
from tests.serving.asking import CARD, client_of, files, is_problem


@pytest.mark.parametrize(
    ("failure", "status", "name"),
    [
        (NotReady("No models are in the store. Run the export."), 503, "not-ready"),
        (Unavailable("TF Serving cannot be reached. Try again."), 503, "backend-unavailable"),
        (DeadlineExceeded("The models took more than 10 s. Ask for fewer cards."), 504, "deadline-exceeded"),
        (BadAnswer("The models answered nonsense. Export them again."), 502, "backend-error"),
    ],
)
def test_models_that_fail_are_a_problem_with_the_reason(failure: BackendError, status, name):
    with live(FakeBackend(failure)) as url, client_of(url) as client:
        for answer in (client.post("/generate"), client.post("/score", files=files(CARD))):
            assert is_problem(answer, status, name)["detail"] == str(failure)
            assert ("retry-after" in answer.headers) == (status == 503)
        ready = client.get("/readyz")
        assert is_problem(ready, 503, name if status == 503 else "not-ready")["detail"] == str(failure)
        assert client.get("/healthz").json() == {"status": "ok"}


class BrokenBackend(FakeBackend):
    """Fails as only a mistake in code does."""

    async def generate(self, noise, labels=None, *, deadline=None):
        raise RuntimeError("the password is swordfish")


def test_a_failure_of_our_own_is_logged_tells_nothing_and_the_gateway_goes_on(caplog):
    with live(BrokenBackend()) as url, client_of(url) as client:
        answer = client.post("/generate", headers={"X-Request-ID": "mine"})
        assert is_problem(answer, 500, "internal")["instance"] == "mine"
        assert "swordfish" not in answer.text
        assert "swordfish" in caplog.text
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert client.get("/healthz").status_code == 200


def test_the_gateway_closes_its_backend_when_it_ends():
    backend = FakeBackend()
    with live(backend):
        assert not backend.closed
    assert backend.closed


def test_the_page_and_all_its_parts_come_from_here(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    parts = re.findall(r'(?:src|href)="(/page/[^"]+)"', page.text)
    assert {part.rpartition(".")[2] for part in parts} == {"css", "js", "svg"}
    for part in parts:
        assert client.get(part).status_code == 200
    again = client.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "//" not in "".join(re.findall(r'(?:src|href)="([^"]+)"', page.text))


ALLOWED = {
    "/generate": "GET, HEAD, POST",
    "/score": "POST",
    "/morph": "POST",
    "/models": "GET, HEAD",
    "/problems/validation": "GET, HEAD",
    "/healthz": "GET, HEAD",
    "/readyz": "GET, HEAD",
    "/": "GET, HEAD",
    "/openapi.json": "GET, HEAD",
    "/page/page.js": "GET, HEAD",
}


@pytest.mark.parametrize(("path", "allowed"), ALLOWED.items())
def test_options_tells_the_methods_of_an_address(client, path, allowed):
    answer = client.options(path)
    assert (answer.status_code, answer.headers["allow"]) == (204, allowed)
    for method in allowed.split(", "):
        assert client.request(method, path).status_code != 405
    if "HEAD" in allowed:
        assert client.head(path).content == b""


def test_an_unknown_address_and_a_wrong_method_are_problems(client):
    is_problem(client.get("/nothing"), 404, "not-found")
    is_problem(client.get("/page/../app.py"), 404, "not-found")
    for path, allowed in ALLOWED.items():
        answer = client.delete(path)
        assert allowed in is_problem(answer, 405, "method-not-allowed")["detail"]
        assert answer.headers["allow"] == allowed
    assert "GET" in client.post("/page/page.js").headers["allow"]


@pytest.mark.parametrize(
    "path",
    ["/%ff", "/%zz", "/%00", "/page/%00", "/problems/%ff", "//generate?seed=1", "/generate/?seed=1", "/page"],
)
def test_an_odd_address_is_a_problem_and_never_a_redirect(client, path):
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    is_problem(client.send(request), 404, "not-found")


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "PUT"])
def test_an_odd_method_is_a_problem_that_names_the_others(client, method):
    answer = client.request(method, "/generate")
    is_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == ALLOWED["/generate"]


def test_every_answer_carries_its_id_and_strict_headers(client):
    for answer in (client.get("/healthz"), client.get("/nothing"), client.post("/generate", json={"n": 0})):
        assert re.fullmatch(r"[0-9a-f]{24}", answer.headers["x-request-id"])
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.post("/generate").headers["cache-control"] == "no-store"
    script = client.get("/page/page.js")
    assert script.headers["cache-control"] == "no-cache"
    known = {"If-None-Match": script.headers["etag"]}
    assert client.get("/page/page.js", headers=known).status_code == 304


def test_every_answer_says_how_long_it_is_and_whether_it_may_be_kept(client):
    asked = [
        client.get("/healthz"),
        client.get("/readyz"),
        client.get("/models"),
        client.get("/"),
        client.get("/page/page.css"),
        client.get("/openapi.json"),
        client.get("/problems/validation"),
        client.get("/generate?seed=1"),
        client.post("/generate"),
        client.post("/morph", json={"seeds": [1, 2]}),
        client.post("/score", files=files(CARD)),
    ]
    refused = [
        client.get("/nothing"),
        client.get("/page/nothing"),
        client.get("/generate"),
        client.get("/generate?seed=%"),
        client.delete("/generate"),
        client.post("/page/page.js"),
        client.post("/generate", json={"n": 0}),
        client.post("/generate", content=b"{", headers={"Content-Type": "application/json"}),
        client.post("/generate", json={"n": 2}, headers={"Accept": "image/png"}),
        client.post("/score", content=b"x", headers={"Content-Type": "text/plain"}),
        client.post("/score", files=files(b"junk")),
    ]
    assert {answer.status_code for answer in asked} == {200}
    assert {answer.status_code for answer in refused} == {400, 404, 405, 406, 415, 422}
    for answer in asked + refused:
        assert answer.headers["content-length"] == str(len(answer.content))
        assert "transfer-encoding" not in answer.headers
        assert answer.headers["cache-control"]
    for answer in refused:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "range", ["bytes=0-9", "bytes=0-9,20-29", "bytes=999999999-", "bytes=9-0", "pages=1"]
)
@pytest.mark.parametrize("path", ["/", "/page/page.js", "/generate?seed=1", "/openapi.json"])
def test_nothing_is_served_in_parts(client, path, range):
    answer = client.get(path, headers={"Range": range})
    assert (answer.status_code, answer.headers["accept-ranges"]) == (200, "none")
    assert len(answer.content) == int(answer.headers["content-length"]) > 10


@pytest.mark.parametrize(
    ("given", "kept"),
    [("a-1.B_2", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("<b>", False)],
)
def test_a_harmless_request_id_is_kept(client, given, kept):
    answer = client.get("/healthz", headers={"X-Request-ID": given})
    assert (answer.headers["x-request-id"] == given) == kept


def test_openapi_names_every_operation_with_its_problems_and_images(client):
    document = client.get("/openapi.json").json()
    operations = {o["operationId"]: o for path in document["paths"].values() for o in path.values()}
    assert set(operations) == set(
        ["generate", "card", "morph", "score", "models", "health", "readiness", "problem"]
    )
    assert all(operation["summary"] for operation in operations.values())
    content = operations["generate"]["responses"]["200"]["content"]
    images = {"image/png", "image/jpeg", "image/webp"}
    assert set(content) == {"application/json", "application/zip", *images}
    for name in ("generate", "score"):
        refused = {s: r for s, r in operations[name]["responses"].items() if s != "200"}
        assert {"400", "413", "415", "422", "500", "503", "504"} <= set(refused)
        for response in refused.values():
            assert list(response["content"]) == ["application/problem+json"]
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])


def test_the_examples_of_openapi_are_accepted(client):
    operation = client.get("/openapi.json").json()["paths"]["/generate"]["post"]
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    assert examples
    for example in examples.values():
        assert client.post("/generate", json=example["value"]).status_code == 200
