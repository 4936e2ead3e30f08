"""What a log must never hold: keys, and what clients send, at whatever level somebody turns on."""

import io
import os
import subprocess
import sys
import time

import httpx
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from serving import keys

GATEWAY = """
import logging, sys
logging.basicConfig(level=1, stream=sys.stdout)
from serving.server import Server, configure, listen
from serving.app import create_app
from serving.settings import Settings
from tests.fakes.backend import FakeBackend

class Broken(FakeBackend):
    async def score(self, cards, *, deadline=None):
        if cards.mean() > 250:
            raise RuntimeError("broken on purpose")
        return await super().score(cards, deadline=deadline)

settings = Settings()
app = create_app(settings, Broken(classes=("elves",)))
config = configure(app, settings)
for name in logging.root.manager.loggerDict:
    logging.getLogger(name).debug("%s speaks", name)
Server(config, app.state.life, 0).run(sockets=[listen(settings)])
"""


def mark(number: int) -> str:
    return f"MARK{number:04d}"


def picture(format: str, shade: int = 100) -> bytes:
    """A picture that says something about itself in every way its format has."""
    file = io.BytesIO()
    card = Image.new("RGB", (50, 70), (shade,) * 3)
    exif = Image.Exif()
    exif[0x010E] = mark(1)  # ImageDescription
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[29] = mark(2)  # GPSDateStamp
    text = PngInfo()
    text.add_text(mark(3), mark(4))
    card.save(file, format, exif=exif, **({"pnginfo": text} if format == "PNG" else {"comment": mark(5)}))
    return file.getvalue()


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> str:
    """Everything a gateway wrote, at every level, while clients sent marks wherever they can."""
    path = tmp_path_factory.mktemp("secrecy") / "keys"
    secret, key = keys.make("visitor", ["generate", "score"])
    path.write_text(str(key))
    settings = {
        "HOLOFOIL_PORT": "0",
        "HOLOFOIL_KEYS_FILE": str(path),
        "HOLOFOIL_RATE_KEY": "60/minute",
        "HOLOFOIL_BODY_TIMEOUT": "1",
    }
    program = subprocess.Popen(
        [sys.executable, "-c", GATEWAY],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert program.stdout
    said = []
    for line in program.stdout:
        said.append(line)
        if line.startswith("Holofoil: "):
            break
    url = said[-1].split()[1]
    with httpx.Client(base_url=url, trust_env=False, headers={"X-API-Key": secret}) as client:
        send_marks(client)
    broken, _ = keys.make("other", ["score"])
    path.write_text(f"other:{broken}:score")  # a key where its hash should be
    time.sleep(keys.LOOK_SECONDS + 0.1)
    httpx.post(f"{url}/generate", headers={"Authorization": f"Bearer {secret}{mark(20)}"}, trust_env=False)
    program.terminate()
    rest, _ = program.communicate(timeout=60)
    return (
        "".join([*said, rest])
        .replace(secret, mark(0))
        .replace(broken, mark(21))
        .replace(key.digest, mark(22))
    )


def send_marks(client: httpx.Client) -> None:
    headers = {"Cookie": mark(6), "Referer": mark(7), "User-Agent": mark(8), mark(9): mark(10)}
    assert client.post("/generate", json={"n": 2, "label": "elves"}, headers=headers).status_code == 200
    for body in ({"label": mark(11)}, {mark(12): 1}, {"seed": mark(13)}):
        assert client.post("/generate", json=body).status_code == 422
    client.post("/generate", content=mark(14), headers={"Content-Type": "application/json"})
    client.post("/generate", headers={"Accept": mark(15)})
    client.get(f"/healthz?key={mark(16)}")
    for format in ("PNG", "JPEG", "WEBP"):
        assert client.post("/score", files={"files": (mark(17), picture(format))}).status_code == 200
    assert client.post("/score", files={"files": (mark(17), picture("JPEG")[:-40])}).status_code == 422
    assert client.post("/score", files={"files": (mark(17), picture("PNG", shade=255))}).status_code == 500
    client.post("/score", files={mark(18): (mark(17), b"GIF89a" + mark(19).encode())})
    client.post(
        "/score", content=mark(14), headers={"Content-Type": f"multipart/form-data; boundary={mark(18)}"}
    )
    with pytest.raises(httpx.HTTPError):
        client.post("/score", content=mark(14), headers={"Content-Length": "x"})


def test_the_log_was_open_wide(log):
    assert "DEBUG" in log
    assert "RuntimeError: broken on purpose" in log
    assert "the old keys stay" in log


def test_neither_keys_nor_content_are_in_it(log):
    assert [line for line in log.splitlines() if "MARK" in line] == []
