"""Other sites in a visitor's browser: none comes in unless it is named."""

import httpx
import pytest

from serving.envelope import ALWAYS
from serving.settings import Settings
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live
from tests.serving.asking import is_problem

FRIEND = "https://friend.example"
STRANGERS = [
    "https://stranger.example",
    "http://friend.example",
    "https://friend.example:8443",
    "https://friend.example.stranger.example",
    "https://FRIEND.example",
    "null",
    "*",
]
PATHS = ["/", "/page/page.js", "/healthz", "/readyz", "/openapi.json", "/generate", "/score", "/nothing"]


@pytest.fixture(scope="module")
def closed():
    with live(FakeBackend()) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def shared():
    settings = Settings(origins=f"{FRIEND}, http://localhost:3000")
    with live(FakeBackend(), settings) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client


def preflight(client: httpx.Client, origin: str, path: str = "/generate", **more: str) -> httpx.Response:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST", **more}
    return client.options(path, headers=headers)


def permits(answer: httpx.Response) -> list[str]:
    return [name for name in answer.headers if name.startswith("access-control-allow-origin")]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_header_lets_another_site_in(closed, method, path):
    for origin in (FRIEND, "null"):
        answer = closed.request(method, path, headers={"Origin": origin})
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    asked = preflight(closed, FRIEND, path)
    assert asked.status_code in (204, 404)
    assert not [name for name in asked.headers if name.startswith("access-control-")]


def test_a_named_site_may_call_with_a_key_and_read_what_limits_it(shared):
    asked = preflight(
        shared, FRIEND, **{"Access-Control-Request-Headers": "authorization,content-type,x-api-key,prefer"}
    )
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == FRIEND
    assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    answer = shared.post("/generate", json={"seed": 1}, headers={"Origin": FRIEND})
    assert answer.headers["access-control-allow-origin"] == FRIEND
    assert "Origin" in answer.headers["vary"]
    assert {"RateLimit", "Retry-After", "X-Seed"} <= set(
        answer.headers["access-control-expose-headers"].split(", ")
    )


def test_nobody_is_let_in_with_cookies(shared):
    for answer in (preflight(shared, FRIEND), shared.get("/healthz", headers={"Origin": FRIEND})):
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["access-control-allow-origin"] != "*"


@pytest.mark.parametrize("origin", STRANGERS)
def test_a_site_that_is_not_named_stays_out(shared, origin):
    refused = preflight(shared, origin)
    assert not permits(refused)
    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "/problems/forbidden-origin"
    assert not permits(shared.post("/generate", headers={"Origin": origin}))


@pytest.mark.parametrize(
    "asked",
    [{"Access-Control-Request-Method": "DELETE"}, {"Access-Control-Request-Headers": "x-other, cookie"}],
)
def test_a_named_site_may_ask_as_others_do_and_not_otherwise(shared, asked):
    refused = preflight(shared, FRIEND, **asked)
    is_problem(refused, 403, "forbidden-origin")
    assert not permits(refused)


@pytest.mark.parametrize("headers", [{}, {"Origin": STRANGERS[0]}, {"Origin": FRIEND}])
def test_a_cache_keeps_apart_what_one_site_may_read_and_others_may_not(shared, headers):
    for answer in (
        shared.get("/generate?seed=1", headers=headers),
        shared.post("/generate", headers=headers),
    ):
        assert [name.strip() for name in answer.headers["vary"].split(",")].count("Origin") == 1


def test_a_refusal_can_be_read_by_a_named_site(shared):
    answer = shared.post("/generate", json={"n": 99}, headers={"Origin": FRIEND})
    assert answer.status_code == 422
    assert answer.headers["access-control-allow-origin"] == FRIEND


@pytest.mark.parametrize("path", PATHS)
def test_the_page_runs_and_loads_nothing_foreign(closed, path):
    rules = dict(
        rule.strip().split(" ", 1) for rule in closed.get(path).headers["content-security-policy"].split(";")
    )
    assert rules.pop("img-src") == "'self' blob: data:"
    assert set(rules.values()) == {"'self'", "'none'"}
    assert rules["default-src"] == "'self'"  # neither inline nor eval
    for closed_door in ("frame-ancestors", "object-src", "base-uri", "form-action"):
        assert rules[closed_door] == "'none'"
    assert closed.get(path).headers["content-security-policy"] == ALWAYS["Content-Security-Policy"]
