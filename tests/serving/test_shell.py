"""The commands as a user runs them: processes, pipes and exit codes, against a real gateway."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.__main__ import main
from serving.client import Holofoil
from tests.fakes import pictures
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live
from tests.fakes.script import problem, reply, scripted

READY = {"version": "7", "noise_size": 8, "height": 70, "width": 50, "classes": []}


@pytest.fixture(scope="module")
def url():
    with live(FakeBackend(classes=("elves", "orcs"))) as url:
        yield url


Done = subprocess.CompletedProcess[bytes]


def as_process(*arguments: object, stdin: bytes = b"", **environment: str) -> Done:
    """Run one command as a process with nothing of HOLOFOIL_* but what is given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOLOFOIL_")}
    return subprocess.run(
        [sys.executable, "-m", "serving", *map(str, arguments)],
        env={**inherited, **environment},
        cwd=Path(__file__).parents[2],
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def ran(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Done]:
    """Run one command in this process, which spares an interpreter's start."""

    def run(*arguments: object, url: str = "") -> Done:
        given = [*map(str, arguments), *(["--url", url] if url else [])]
        try:
            code = main(given)
        except SystemExit as end:
            code = int(end.code or 0)
        shown = capfdbinary.readouterr()
        return Done(given, code, shown.out, shown.err)

    return run


def complaint(done: Done, code: int) -> str:
    """Check that a command ended with a code and one line, and return the line."""
    text = done.stderr.decode()
    assert done.returncode == code, text
    assert text.startswith("holofoil-gateway: ")
    assert text.count("\n") == 1
    return text


def test_cards_are_drawn_into_files_that_tell_their_seeds(ran, url, tmp_path):
    folder = tmp_path / "new" / "cards"
    done = ran("generate", "-n", 18, "--seed", 42, "-o", folder, url=url)
    assert (done.returncode, done.stderr) == (0, b"")
    paths = [folder / f"card-{seed}.png" for seed in range(42, 60)]
    assert done.stdout.decode().split() == [str(path) for path in paths]
    with Holofoil(url) as client:
        assert [path.read_bytes() for path in paths] == [card.bytes for card in client.generate(18, 42)]


def test_nothing_is_overwritten_unless_forced(ran, url, tmp_path):
    there = tmp_path / "card-5.png"
    there.write_bytes(b"mine")
    line = complaint(ran("generate", "-n", 3, "--seed", 4, "-o", tmp_path, url=url), 1)
    assert str(there) in line
    assert "--force" in line
    assert os.listdir(tmp_path) == ["card-5.png"]
    assert there.read_bytes() == b"mine"
    assert ran("generate", "-n", 3, "--seed", 4, "-o", tmp_path, "--force", url=url).returncode == 0
    assert there.read_bytes() != b"mine"


def test_one_card_goes_to_a_file_whose_name_tells_the_format(ran, url, tmp_path):
    for name, format in (("a.webp", "WEBP"), ("b.jpg", "JPEG"), ("c.png", "PNG")):
        assert ran("generate", "--seed", 1, "-o", tmp_path / name, url=url).returncode == 0
        with Image.open(tmp_path / name) as card:
            assert card.format == format


def test_a_file_that_cannot_be_drawn_is_a_wrong_command_line(ran, url, tmp_path):
    assert "one of .webp, .gif, .apng" in complaint(ran("morph", 7, 42, "-o", tmp_path / "m.mp4", url=url), 2)
    assert "one of .png, .jpg" in complaint(ran("generate", "-o", tmp_path / "c.bmp", url=url), 2)
    assert os.listdir(tmp_path) == []
    assert ran("generate", "--seed", 1, "-o", f"{tmp_path}/v1.2/", url=url).returncode == 0
    assert ran("generate", "--seed", 2, "-o", tmp_path / "v1.2", url=url).returncode == 0
    assert sorted(os.listdir(tmp_path / "v1.2")) == ["card-1.png", "card-2.png"]


def test_several_cards_go_to_a_folder_and_to_none_that_is_called_as_a_file(ran, url, tmp_path):
    line = complaint(ran("generate", "-n", 2, "-o", tmp_path / "card.png", url=url), 2)
    assert "Only one card fits into a file; give -o a folder" in line
    assert "-n 1 or more" in complaint(ran("generate", "-n", 0, "-o", tmp_path / "card.png", url=url), 2)
    assert "a folder with /" in complaint(ran("generate", "-n", 2, "-o", tmp_path / "c.bmp", url=url), 2)
    assert os.listdir(tmp_path) == []
    assert ran("generate", "-n", 2, "--seed", 1, "-o", f"{tmp_path}/card.png/", url=url).returncode == 0
    assert ran("generate", "-n", 2, "--seed", 3, "-o", tmp_path / "card.png", url=url).returncode == 0
    assert sorted(os.listdir(tmp_path / "card.png")) == [f"card-{seed}.png" for seed in range(1, 5)]


def test_a_card_fits_into_a_pipe_and_can_be_judged_from_it(ran, url):
    drawn = ran("generate", "--seed", 1, "--label", "orcs", "--format", "webp", "-o", "-", url=url)
    assert Image.open(io.BytesIO(drawn.stdout)).format == "WEBP"
    judged = as_process("score", "-", "--json", stdin=drawn.stdout, HOLOFOIL_URL=url)
    card = json.loads(judged.stdout)
    assert (card["filename"], card["format"]) == ("-", "webp")
    assert "one card" in complaint(ran("generate", "-n", 2, "-o", "-", url=url), 2)


def test_cards_turn_into_each_other_in_a_file(ran, url, tmp_path):
    done = ran("morph", 7, 42, "--frames", 2, "--once", "-o", tmp_path, url=url)
    assert done.stdout.decode() == f"{tmp_path / 'morph-7-42.webp'}\n"
    assert "--force" in complaint(ran("morph", 7, 42, "-o", tmp_path, url=url), 1)
    for name, format in (("a.gif", "GIF"), ("b.apng", "PNG"), ("c.png", "PNG"), ("d.WEBP", "WEBP")):
        assert ran("morph", 7, 42, "-o", tmp_path / name, url=url).returncode == 0
        with Image.open(tmp_path / name) as moving:
            assert (moving.format, getattr(moving, "n_frames", 1) > 1) == (format, True)
    assert ran("morph", 7, 42, "--format", "apng", "-o", tmp_path, url=url).returncode == 0
    assert (tmp_path / "morph-7-42.png").is_file()
    assert "seeds" in complaint(
        ran(
            "morph",
            7,
            url=url,
        ),
        1,
    )


def test_files_are_judged_in_their_order(ran, url, tmp_path):
    paths = [tmp_path / f"{name}.png" for name in ("light", "dark")]
    for path, shade in zip(paths, (240, 10), strict=True):
        Image.fromarray(np.full((70, 50, 3), shade, np.uint8)).save(path)
    done = ran("score", *paths * 9, url=url)
    head, *lines = done.stdout.decode().splitlines()
    assert head.split() == ["percentile", "probability", "logit", "file"]
    assert [line.split()[3] for line in lines] == [str(path) for path in paths * 9]
    assert float(lines[0].split()[0]) > 80 > 20 > float(lines[1].split()[0])
    done = ran("score", *paths, "--json", url=url)
    cards = [json.loads(line) for line in done.stdout.splitlines()]
    assert [card["filename"] for card in cards] == [str(path) for path in paths]
    assert cards[0]["sha256"] != cards[1]["sha256"]


def test_a_bad_or_missing_file_is_one_line_with_its_name(ran, url, tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("no picture")
    refused = ran("score", notes, url=url)
    assert "notes.txt" in complaint(refused, 1)
    assert refused.stdout == b""  # no title above nothing
    assert "none.png" in complaint(ran("score", tmp_path / "none.png", url=url), 1)


def test_a_file_whose_name_is_no_utf_8_is_drawn_and_judged(ran, url, tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    assert ran("generate", "-o", os.fsdecode(path), url=url).stdout == path + b"\n"
    assert "caf\ufffd.png" in ran("score", os.fsdecode(path), url=url).stdout.decode()
    judged = ran("score", "--json", os.fsdecode(path), url=url)
    assert json.loads(judged.stdout)["filename"].endswith("caf\ufffd.png")


def test_leniently_the_others_are_judged(ran, url, tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(pictures.file(pictures.plain(70, 50)))
    bad.write_bytes(b"no picture")
    done = ran("score", "--lenient", bad, good, url=url)
    assert "1 of 2 could not be read" in complaint(done, 1)
    _, first, second = done.stdout.decode().splitlines()
    assert first.split()[:3] == ["-"] * 3
    assert f"{bad}: The file is none of" in first
    assert second.endswith(str(good))


def test_ready_tells_the_models_or_why_there_are_none(ran, url):
    done = ran("ready", url=url)
    assert done.stdout.decode() == "ready: version 20260131120000, cards of 50x70; kinds: elves, orcs\n"
    assert json.loads(ran("ready", "--json", url=url).stdout)["classes"] == ["elves", "orcs"]
    with scripted(
        [problem("not-ready", 503, "The models are still loading.", Retry_After="0")] * 2 + [reply(READY)]
    ) as later:
        assert "still loading" in complaint(ran("ready", url=later.url), 3)
        assert ran("ready", "--wait", url=later.url).returncode == 0


def test_nobody_there_may_be_tried_later_and_a_wrong_command_line_may_not(ran, url):
    assert "http://127.0.0.1:9 " in complaint(ran("ready", "--url", "http://127.0.0.1:9"), 3)
    assert "URL" in complaint(ran("ready", "--url", "localhost:8000"), 2)
    assert "timeout" in complaint(ran("ready", "--timeout", "inf", url=url), 2)
    assert ran("generate", "-n", "many", url=url).returncode == 2
    assert ran("paint", url=url).returncode == 2
    assert "truncation: Input should be" in complaint(ran("generate", "--truncation", 3, url=url), 1)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1", "socksio"),
        ("HTTP_PROXY", "http://[::1", "NO_PROXY holds what is no address"),
        ("NO_PROXY", "[::1", "NO_PROXY holds what is no address"),
        ("SSL_CERT_FILE", "/nope", "/nope cannot be read as certificates: No such file or directory"),
    ],
)
def test_an_environment_that_cannot_be_used_is_named(ran, monkeypatch, name, value, words):
    monkeypatch.setenv(name, value)
    assert words in complaint(ran("ready"), 2)


def test_closed_streams_cost_no_more_than_what_they_would_have_shown(url):
    def code(line: str) -> Done:
        command = f"{sys.executable} -m serving {line}"
        return subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=False)

    assert "stdout is closed" in complaint(code(f"ready --url {url} >&-"), 1)
    assert "empty" in complaint(code(f"score - --url {url} <&-"), 1)
    assert code("ready --url http://127.0.0.1:9 2>&-").returncode == 3


def test_the_key_comes_from_the_environment_or_a_file_and_is_never_shown(ran, tmp_path):
    file = tmp_path / "key"
    file.write_text("from-file\n")
    with scripted([problem("unauthenticated", 401, "The key is wrong.")]) as server:
        shown = [
            complaint(as_process("ready", HOLOFOIL_URL=server.url, HOLOFOIL_KEY="from-variable"), 1),
            complaint(
                as_process(
                    "ready",
                    HOLOFOIL_URL=server.url,
                    HOLOFOIL_KEY="from-variable",
                    HOLOFOIL_KEY_FILE=str(file),
                ),
                1,
            ),
            complaint(ran("ready", "--key-file", file, url=server.url), 1),
            complaint(ran("ready", url=server.url), 1),
        ]
    assert ["into HOLOFOIL_KEY" in line for line in shown] == [False, False, False, True]
    sent = [asked.headers.get("authorization") for asked in server.asked]
    assert sent == ["Bearer from-variable", "Bearer from-file", "Bearer from-file", None]
    file.write_text("s3cret é")
    shown.append(complaint(ran("ready", "--key-file", file), 2))
    assert not any(word in line for line in shown for word in ("from-", "s3cret"))
    assert "--key " not in ran("generate", "--help").stdout.decode()


def test_progress_is_for_those_who_watch(url, tmp_path):
    watcher, terminal = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-m", "serving", "generate", "--url", url, "-n", "3", "-o", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    )
    assert program.wait(60) == 0
    os.close(terminal)
    shown = os.read(watcher, 10_000).decode()
    os.close(watcher)
    assert re.findall(r"drawn (\d) of 3", shown) == ["1", "2", "3"]
    assert shown.endswith("\x1b[K")


def test_a_reader_that_has_enough_is_no_error(url, tmp_path):
    card = tmp_path / "card.png"
    card.write_bytes(pictures.file(pictures.plain(70, 50)))
    line = f"{sys.executable} -m serving score --url {url} {' '.join([str(card)] * 3)}"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line} | true"], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert done.stderr == b""


def test_a_gateway_without_httpx_serves_and_the_commands_say_what_is_missing():
    code = (
        "import sys; sys.modules['httpx'] = None; import serving.__main__ as m; sys.exit(m.main(['ready']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert "pip install 'holofoil[client]'" in complaint(done, 2)
