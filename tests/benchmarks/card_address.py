"""What a card's ETag saves: GET /generate answered with 200, with 304 and to HEAD, one after another."""

import statistics
import time

import httpx

from serving.embedded import EmbeddedBackend
from serving.settings import STARTER_MODELS
from tests.fakes.live import live

ROUNDS = 60
ADDRESS = "/generate?seed={}&format={}"


def seconds(client: httpx.Client, method: str, address: str, tag: str = "") -> float:
    """Ask once and return how long the answer took."""
    start = time.perf_counter()
    answer = client.request(method, address, headers={"If-None-Match": tag} if tag else {})
    took = time.perf_counter() - start
    assert answer.status_code == (304 if tag else 200)
    return took


def main() -> None:
    """Print the median of each, taken in turns, so that all meet the same machine."""
    with (
        live(EmbeddedBackend(STARTER_MODELS, 120)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=120) as client,
    ):
        while client.get("/readyz").status_code != 200:
            time.sleep(0.5)
        for format in ("png", "jpeg", "webp"):
            took: dict[str, list[float]] = {"200": [], "304": [], "HEAD": []}
            for seed in range(ROUNDS):
                address = ADDRESS.format(seed, format)
                tag = client.head(address).headers["etag"]
                took["200"].append(seconds(client, "GET", address))
                took["304"].append(seconds(client, "GET", address, tag))
                took["HEAD"].append(seconds(client, "HEAD", address))
            medians = {name: 1000 * statistics.median(times) for name, times in took.items()}
            ratio = medians["200"] / medians["304"]
            row = "  ".join(f"{name} {median:6.2f} ms" for name, median in medians.items())
            print(f"{format:4}  {row}  200 : 304 = {ratio:.1f}")


if __name__ == "__main__":
    main()
