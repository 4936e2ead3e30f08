"""The gateway as a program: what it prints, how it refuses to start, and how it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

import httpx
import pytest

from serving.keys import Keyring
from serving.server import misspelt
from serving.settings import Settings

# Nobody listens there, and the gRPC backend never imports TensorFlow: a quick start.
NO_MODELS = {"HOLOFOIL_TFSERVING": "127.0.0.1:9", "HOLOFOIL_DRAIN_DELAY": "0"}


def environment(**settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOLOFOIL_")}
    return {**inherited, **NO_MODELS, **settings}


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "serving", *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def started(**settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the program on a free port and wait for its line."""
    program = subprocess.Popen(
        [sys.executable, "-m", "serving"],
        env=environment(HOLOFOIL_PORT="0", **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert program.stdout
        yield program, program.stdout.readline()
    finally:
        program.kill()
        program.communicate()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_to_look_answers_there_and_ends_in_order(ending):
    with started() as (program, line):
        found = re.fullmatch(r"Holofoil: (http://127\.0\.0\.1:\d+)\n", line)
        assert found
        with httpx.Client(base_url=found[1], trust_env=False, timeout=30) as client:
            assert client.get("/healthz").status_code == 200
            ready = client.get("/readyz")
            assert ready.status_code == 503
            assert ready.json()["detail"]
            assert "server" not in ready.headers
        program.send_signal(ending)
        rest, errors = program.communicate(timeout=30)
    assert program.returncode in (0, -ending, 128 + ending)
    assert rest == ""
    assert "Traceback" not in errors


def test_wrong_settings_are_one_line_with_the_name_of_each():
    wrong = {
        "HOLOFOIL_PORT": "eighty",
        "HOLOFOIL_DEADLINE": "-1",
        "HOLOFOIL_TFSERVING": "http://t:8501",
        "HOLOFOIL_METRICS": "9464",
    }
    ended = run(**wrong)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert all(name in ended.stderr for name in wrong)
    assert "eighty" not in ended.stderr


def test_a_taken_port_is_one_line_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run(HOLOFOIL_PORT=port)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert port in ended.stderr
    assert "HOLOFOIL_PORT" in ended.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_metrics_have_a_port_of_their_own_where_one_is_set():
    address = f"127.0.0.1:{free_port()}"
    with started(HOLOFOIL_METRICS=address) as (_, line), httpx.Client(trust_env=False, timeout=30) as client:
        assert client.get(f"{line.split()[-1]}/metrics").status_code == 404
        text = client.get(f"http://{address}/metrics").text
    assert 'holofoil_http_requests_total{method="GET",route="unknown",status="404"} 1.0' in text


def test_a_taken_port_for_metrics_is_one_line_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run(HOLOFOIL_PORT="0", HOLOFOIL_METRICS=f"127.0.0.1:{taken.getsockname()[1]}")
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "HOLOFOIL_METRICS" in ended.stderr


def test_the_log_is_json_on_stderr_and_stdout_has_the_address_alone():
    with started() as (program, line):
        with httpx.Client(base_url=line.split()[-1], trust_env=False, timeout=30) as client:
            client.post("/generate", headers={"X-Request-ID": "mine"})
        program.send_signal(signal.SIGTERM)
        rest, errors = program.communicate(timeout=30)
    assert rest == ""
    told = [json.loads(line) for line in errors.splitlines()]
    mine = {(line["level"], line["event"]) for line in told if line.get("request_id") == "mine"}
    assert ("info", "request") in mine


def test_the_log_says_when_it_started_with_what_and_why_it_ended():
    store = "redis://user:PASSWORD@127.0.0.1:9/0"
    with started(HOLOFOIL_DEADLINE="20", HOLOFOIL_RATE_STORE=store, HOLOFOIL_DRAIN_DELAY="0.2") as (
        program,
        _,
    ):
        program.send_signal(signal.SIGTERM)
        _, errors = program.communicate(timeout=30)
    told = [json.loads(line) for line in errors.splitlines()]
    (start,) = (line for line in told if line["event"] == f"Holofoil {version('holofoil')} starts")
    assert start["settings"]["deadline"] == "20.0"
    assert "max_rows" not in start["settings"]
    assert "PASSWORD" not in errors
    ending = [line["event"] for line in told if line["logger"] == "serving.server"][-3:]
    assert ending[0].startswith("Asked to end: ")
    assert ending[1:] == ["Nobody new is let in, requests are under way: 0", "Ended"]


def test_help_lists_every_setting_and_an_argument_is_refused():
    shown = run("--help")
    for name in Settings.model_fields:
        assert f"HOLOFOIL_{name.upper()}" in shown.stdout
    assert run("--port", "9000").returncode == 2


def test_a_slip_of_the_pen_is_noticed_and_other_variables_are_not():
    slips = {"HOLOFOIL_TFSERVNG": "x", "HOLOFOIL_MAXFILE": "1"}
    others = {
        "HOLOFOIL_SERVICE_HOST": "10.0.0.1",
        "HOLOFOIL_PORT_8000_TCP": "x",
        "HOLOFOIL_PORT": "1",
        "HOME": "/",
    }
    assert misspelt({**slips, **others}) == sorted(slips)


def test_the_gateway_for_tf_serving_never_imports_tensorflow():
    code = (
        "import sys, serving.server; from serving.app import create_app, open_backend; "
        "from serving.settings import Settings; create_app(Settings()); open_backend(Settings()); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=environment(), check=False).returncode == 0


def test_a_key_is_made_for_a_client_and_its_line_for_the_file(tmp_path):
    made = run("key", "alice", "--rights", "generate", "metrics")
    assert made.returncode == 0
    (tmp_path / "keys").write_text(made.stdout)
    secret = made.stderr.split()[-1]
    key = Keyring(tmp_path / "keys").find(secret)
    assert key
    assert (key.name, key.rights) == ("alice", {"generate", "metrics"})
    assert secret not in made.stdout
    assert run("key", "a:b").returncode == 2
    assert run("key", "alice", "--rights", "admin").returncode == 2


def test_a_file_of_keys_that_cannot_be_read_never_starts_an_open_gateway(tmp_path):
    (tmp_path / "keys").write_text("alice:secret:generate\n")
    for path in (tmp_path / "keys", tmp_path / "nowhere"):
        ended = run(HOLOFOIL_KEYS_FILE=str(path))
        assert ended.returncode == 2
        assert ended.stderr.count("\n") == 1
        assert "HOLOFOIL_KEYS_FILE" in ended.stderr
        assert "secret" not in ended.stderr


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_an_open_gateway_that_others_can_reach_says_so(host, warned):
    with started(HOLOFOIL_HOST=host) as (program, _):
        program.send_signal(signal.SIGTERM)
        _, errors = program.communicate(timeout=30)
    assert ("HOLOFOIL_KEYS_FILE" in errors) == warned
