"""Who is let in: the file of keys, its changes, and what a request without the right one gets."""

import contextlib
import hashlib
import logging
import os
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import keys
from serving.app import create_app
from serving.keys import RIGHTS, BadKeys, Keyring, Right
from serving.settings import Settings
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live, live_app
from tests.serving.asking import client_of
from tests.serving.test_exchange import Ear
from tests.serving.test_metrics import scrape

DIGEST = hashlib.sha256(b"one").hexdigest()


HOLDERS: dict[str, list[Right]] = {"artist": ["generate"], "judge": ["score"], "both": ["generate", "score"]}


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys"


@pytest.fixture(scope="module")
def made(path: Path) -> dict[str, str]:
    """Write a file of three keys, and return what their clients present."""
    secrets = {}
    lines = ["# who may do what", ""]
    for name, rights in HOLDERS.items():
        secrets[name], key = keys.make(name, rights)
        lines.append(str(key))
    path.write_text("\n".join(lines))
    return secrets


@pytest.fixture(scope="module")
def client(made, path):
    with (
        live(FakeBackend(), Settings(keys_file=path)) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        yield client


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.parametrize(
    "header",
    [
        lambda secret: {"Authorization": f"Bearer {secret}"},
        lambda secret: {"Authorization": f"bearer  {secret}"},
        lambda secret: {"X-API-Key": secret},
        lambda secret: {"Authorization": "Basic YTpi", "X-API-Key": secret},
    ],
)
def test_a_key_lets_in(client, made, header):
    assert client.post("/generate", headers=header(made["artist"])).status_code == 200


@pytest.mark.parametrize(("name", "scheme"), [("Authorization", "Bearer "), ("X-API-Key", "")])
def test_a_blank_behind_a_key_is_no_part_of_it(client, made, name, scheme):
    line = HTTPConnection(client.base_url.host, client.base_url.port)
    with contextlib.closing(line):
        line.request("POST", "/generate", headers={name: f"{scheme}{made['artist']} \t"})
        assert line.getresponse().status == 200


def test_no_key_is_told_how_to_bring_one(client):
    answer = client.post("/generate")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="holofoil"'
    assert answer.json()["type"] == "/problems/unauthenticated"
    assert "X-API-Key" in answer.json()["detail"]


def test_wrong_keys_are_refused(client, made):
    right = made["both"]
    digest = keys.digest_of(right)
    for wrong in ("x", right[:-1], right + "x", right.upper(), digest, "ü", "x" * 8000, "both"):
        for headers in ({"Authorization": f"Bearer {wrong}".encode()}, {"X-API-Key": wrong.encode()}):
            answer = client.post("/generate", headers=headers)
            assert answer.status_code == 401
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]
            assert wrong not in answer.json()["detail"].split()


def test_a_key_without_the_right_is_told_which_it_has(client, made):
    answer = client.post("/generate", headers=bearer(made["judge"]))
    assert answer.status_code == 403
    assert 'scope="generate"' in answer.headers["www-authenticate"]
    assert answer.json()["type"] == "/problems/forbidden"
    assert "score" in answer.json()["detail"]
    assert client.post("/score", headers=bearer(made["artist"])).status_code == 403


@pytest.mark.parametrize("address", ["/", "/healthz", "/readyz", "/openapi.json", "/page/page.js"])
def test_what_gives_nothing_away_stays_open(client, address):
    assert client.get(address).status_code == 200


def test_every_other_route_needs_a_key(client):
    """A route that somebody adds and forgets to guard fails here."""
    open_paths = {"/healthz", "/readyz", "/models", "/problems/{name}"}
    document = client.get("/openapi.json").json()
    operations = [(method, path) for path, methods in document["paths"].items() for method in methods]
    guarded = [(method, path) for method, path in operations if path not in open_paths]
    assert {path for _, path in guarded} >= {"/generate", "/score"}
    for method, path in guarded:
        assert client.request(method, path).status_code == 401, path
        assert document["paths"][path][method]["security"], path


def test_whose_key_it_was_is_told_to_log_and_metrics(made, path):
    ear = Ear()
    with live_app(FakeBackend(), Settings(keys_file=path)) as (app, url), client_of(url) as client:
        app.state.witnesses.append(ear)
        for secret in (made["artist"], made["judge"], "of nobody"):
            client.post("/generate", headers=bearer(secret))
    assert [(heard.status, heard.key) for heard in ear.heard] == [
        (200, "artist"),
        (403, "judge"),
        (401, None),
    ]


def test_an_open_gateway_asks_for_no_key_and_says_so():
    with live(FakeBackend()) as url, httpx.Client(base_url=url, trust_env=False) as client:
        assert client.post("/generate", headers=bearer("anything")).status_code == 200
        assert "securitySchemes" not in client.get("/openapi.json").json()["components"]


def test_keys_are_told_apart_from_each_other(made, path):
    ring = Keyring(path)
    assert {name: ring.find(secret) for name, secret in made.items()} == {key.name: key for key in ring.keys}


@given(
    name=st.from_regex(keys.NAME, fullmatch=True),
    rights=st.sets(st.sampled_from(RIGHTS), min_size=1),
)
def test_what_is_written_is_read_again(name, rights):
    _, key = keys.make(name, rights)
    assert keys.parse(f"\n# comment\n  {key}  \n") == (key,)


@given(st.text() | st.from_regex(rf"[a:]+:{DIGEST}:[a-z,]*", fullmatch=True))
def test_any_text_is_keys_or_refused(text):
    with contextlib.suppress(BadKeys):
        assert all(key.rights for key in keys.parse(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no key"),
        ("# only a comment\n", "no key"),
        ("alice", "line 1"),
        (f"alice:{DIGEST}", "line 1"),
        (f"alice:{DIGEST[:-1]}:score", "line 1"),
        (f"alice:{DIGEST}:score:more", "line 1"),
        (f"\nal ice:{DIGEST}:score", "line 2"),
        (f"alice:{DIGEST}:", "a right that is none"),
        (f"alice:{DIGEST}:score,admin", "a right that is none"),
        (f"alice:{DIGEST}:score\nbob:{DIGEST}:score", "line 2 has the same key"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(text, reason):
    with pytest.raises(BadKeys, match=reason) as refused:
        keys.parse(text)
    assert DIGEST[:8] not in str(refused.value)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("nowhere", "binary", "."):
        with pytest.raises(BadKeys):
            Keyring(tmp_path / name)


def replace(path: Path, text: str) -> None:
    """Change a file as operators and Kubernetes do: a whole new one takes its place."""
    beside = path.with_name("beside")
    beside.write_text(text)
    os.replace(beside, path)


def look_again(ring: Keyring) -> None:
    ring.looked -= keys.LOOK_SECONDS


def test_a_changed_file_is_taken_up_and_a_broken_one_is_not(tmp_path, caplog):
    path = tmp_path / "keys"
    old, key = keys.make("old", ["score"])
    path.write_text(str(key))
    ring = Keyring(path)
    secret, key = keys.make("new", ["score"])
    replace(path, str(key))
    look_again(ring)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert ring.find(secret) == key
            assert ring.find(old) is None
            look_again(ring)

        replace(path, "half a li")
        for _ in range(3):
            look_again(ring)
            assert ring.find(secret) == key
        path.unlink()
        for _ in range(3):
            look_again(ring)
            assert ring.find(secret) == key
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3  # each change once
    assert "now of: new" in said[0]
    assert all("the old keys stay" in line for line in said[1:])
    assert "half" not in caplog.text

    replace(path, str(key))
    look_again(ring)
    assert ring.find(secret) == key


def test_the_metrics_tell_that_a_changed_file_is_not_in_force(tmp_path):
    path = tmp_path / "keys"
    secret, key = keys.make("alice", ["generate"])
    path.write_text(str(key))
    app = create_app(Settings(keys_file=path), FakeBackend())
    ring = app.state.access.keys

    def broken() -> float:
        look_again(ring)
        assert ring.find(secret) == key
        return scrape(app.state.metrics).of("holofoil_keys_file_broken")

    assert broken() == 0
    path.rename(tmp_path / "away")
    assert [broken(), broken()] == [1, 1]
    (tmp_path / "away").rename(path)
    assert broken() == 0
    replace(path, "half a li")
    assert broken() == 1
    replace(path, f"# mended\n{key}")
    assert broken() == 0


def test_a_file_that_could_not_be_read_is_tried_again_though_it_looks_the_same(tmp_path, caplog):
    """As one whose permission is given later: neither its time nor its size changes."""
    path = tmp_path / "keys"
    path.write_text(str(keys.make("old", ["score"])[1]))
    ring = Keyring(path)
    secret, key = keys.make("new", ["score"])
    path.write_bytes(b"\xff" * len(str(key)))
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    for _ in range(2):
        look_again(ring)
        assert ring.find(secret) is None
    path.write_text(str(key))
    os.utime(path, ns=times)
    look_again(ring)
    assert ring.find(secret) == key
    assert caplog.text.count("the old keys stay") == 1


def test_the_file_is_looked_at_once_a_second_at_most(tmp_path):
    (tmp_path / "keys").write_text(str(keys.make("old", ["score"])[1]))
    ring = Keyring(tmp_path / "keys")
    secret, key = keys.make("new", ["score"])
    replace(tmp_path / "keys", str(key))
    assert ring.find(secret) is None
    look_again(ring)
    assert ring.find(secret) == key


def test_a_name_that_would_break_the_line_is_refused():
    for name in ("", "a:b", "a b", "a\nb", "ü", "x" * 65):
        with pytest.raises(ValueError, match="letters"):
            keys.make(name, ["score"])
