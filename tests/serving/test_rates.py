"""How many cards a key or an address gets: the counting itself, over HTTP, and in a real Redis."""

import asyncio
import logging
import re
import shutil
import signal
import socket
import subprocess
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from copy import deepcopy

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import keys
from serving.rates import STORE_TIMEOUT, BadStore, Counts, MemoryStore, Rate, RedisStore, used, wait
from serving.settings import Settings
from tests.fakes.backend import FakeBackend
from tests.fakes.live import live
from tests.serving.asking import is_problem

TWENTY = Rate(20, 60)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def take(memory: MemoryStore, cards: int, rate: Rate = TWENTY, name: str = "a") -> bool:
    allowed, _ = asyncio.run(memory.take(name, rate, cards))
    return allowed


def test_a_rate_is_read_as_people_write_it():
    assert Rate.parse("600/minute") == Rate(600, 60)
    assert Rate.parse(" 20 / second ") == Rate(20, 1)
    for wrong in ("", "600", "0/minute", "-1/minute", "600/fortnight", "6e2/minute", "600/minute/hour"):
        with pytest.raises(ValueError, match="600/minute"):
            Rate.parse(wrong)


@given(st.lists(st.tuples(st.floats(0, 90), st.integers(1, 16)), max_size=40))
def test_no_stretch_of_time_sees_twice_the_rate_and_the_mean_is_kept(asked):
    clock = Clock()
    memory = MemoryStore(clock=clock)
    taken = []
    for pause, cards in asked:
        clock.now += pause
        if take(memory, cards):
            taken.append((clock.now, cards))
    for end, _ in taken:
        assert sum(cards for when, cards in taken if end - 60 < when <= end) < 2 * TWENTY.cards
    assert sum(cards for _, cards in taken) <= TWENTY.cards * (2 + (clock.now - 1000) / 60)


@given(st.lists(st.tuples(st.floats(0, 90), st.integers(1, 16)), min_size=1, max_size=40))
def test_a_client_that_waits_as_told_is_let_in_and_not_a_second_sooner(asked):
    clock = Clock()
    memory = MemoryStore(clock=clock)
    for pause, cards in asked:
        clock.now += pause
        if not take(memory, cards):
            told = wait(memory.counts("a", 60), TWENTY, cards)
            sooner = deepcopy(memory)
            sooner.clock = Clock()
            sooner.clock.now = clock.now + told - 1.001
            assert told <= 1 or not take(sooner, cards)
            clock.now += told
            assert take(memory, cards)


def test_rounding_takes_nothing_from_a_wait():
    clock = Clock()
    memory = MemoryStore(clock=clock)
    clock.now = 1.1890621968551383
    assert take(memory, 5)
    clock.now += wait(memory.counts("a", 60), TWENTY, 16)
    assert take(memory, 16)


def test_a_quiet_minute_gives_everything_back():
    clock = Clock()
    memory = MemoryStore(clock=clock)
    assert take(memory, 16)
    assert take(memory, 4)
    assert not take(memory, 1)
    clock.now += 120
    assert take(memory, 16)
    assert take(memory, 4)


def test_memory_is_bounded_and_forgets_who_was_quiet_longest():
    memory = MemoryStore(most=100)
    assert take(memory, 20, name="busy")
    for number in range(1000):
        take(memory, 1, name=f"address {number}")
        assert not take(memory, 1, name="busy")
    assert len(memory.windows) == 100


# --- Over HTTP --------------------------------------------------------------------------------------


@contextmanager
def gateway(**settings: object) -> Iterator[httpx.Client]:
    chosen = Settings.model_validate(settings)
    with live(FakeBackend(), chosen) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client


def left(answer: httpx.Response) -> int:
    return int(answer.headers["ratelimit"].split(";r=")[1].split(";")[0])


def test_cards_are_counted_and_every_answer_tells_what_is_left():
    with gateway(rate_address="40/hour", metrics="here") as client:
        answer = client.post("/generate", json={"n": 4})
        assert answer.headers["ratelimit-policy"] == '"address";q=40;w=3600;qu="cards"'
        assert left(answer) == 36
        card = client.post("/generate", headers={"Accept": "image/png"})
        assert left(card) == 35
        files = [("files", ("a.png", card.content))] * 3
        assert left(client.post("/score", files=files)) == 32
        assert left(client.post("/generate", json={"n": 17})) == 31  # what is wrong counts as one
        assert left(client.post("/score", content=b"x" * 9)) == 30
        for path in ("/healthz", "/readyz", "/openapi.json", "/metrics", "/", "/nothing"):
            assert "ratelimit" not in client.get(path).headers


def test_too_many_are_refused_with_the_time_to_come_again():
    with gateway(rate_address="20/hour") as client:
        assert client.post("/generate", json={"n": 16}).status_code == 200
        refused = client.post("/generate", json={"n": 16})
        assert refused.status_code == 429
        assert refused.json()["type"] == "/problems/rate-limited"
        assert 0 < int(refused.headers["retry-after"]) <= 2 * 3600
        assert f";t={refused.headers['retry-after']}" in refused.headers["ratelimit"]
        assert client.post("/generate", json={"n": 3}).status_code == 200
        assert client.post("/generate").status_code == 429


def test_more_than_there_ever_is_room_for_is_not_put_off():
    with gateway(rate_address="20/hour") as client:
        refused = client.post("/morph", json={"seeds": [1, 2]})
        assert is_problem(refused, 422, "validation")["errors"][0]["code"] == "beyond_rate"
        assert "retry-after" not in refused.headers
        assert client.post("/morph", json={"seeds": [1, 2], "frames": 5}).status_code == 200


def test_nothing_is_drawn_for_a_refused_request():
    class Counting(FakeBackend):
        drawn = 0

        async def generate(self, noise, labels=None, *, deadline=None):
            self.drawn += len(noise)
            return await super().generate(noise, labels, deadline=deadline)

    backend = Counting()
    settings = Settings.model_validate({"rate_address": "16/hour"})
    with live(backend, settings) as url, httpx.Client(base_url=url, trust_env=False) as client:
        statuses = [client.post("/generate", json={"n": 4}).status_code for _ in range(9)]
    assert statuses.count(200) == 4
    assert backend.drawn == 16


def test_each_key_has_its_own_rate_and_wrong_keys_use_up_their_address(tmp_path):
    made = [keys.make(name, ["generate"]) for name in ("alice", "bob")]
    (tmp_path / "keys").write_text("\n".join(str(key) for _, key in made))
    alice, bob = ({"X-API-Key": secret} for secret, _ in made)
    with gateway(keys_file=tmp_path / "keys", rate_key="16/hour", rate_address="18/hour") as client:
        answer = client.post("/generate", json={"n": 16}, headers=alice)
        assert answer.status_code == 200
        assert answer.headers["ratelimit-policy"] == '"key";q=16;w=3600;qu="cards"'
        assert client.post("/generate", headers=alice).status_code == 429
        tried = [client.post("/generate", headers={"X-API-Key": f"{i}"}).status_code for i in range(20)]
        assert tried == [401] * 18 + [429] * 2
        assert client.post("/generate", headers=bob).status_code == 200


@pytest.mark.parametrize(
    ("trusted", "forwarded", "shared"),
    [
        (None, ["1.1.1.1", "2.2.2.2"], True),  # anybody may write this header
        ("10.0.0.0/8", ["1.1.1.1", "2.2.2.2"], True),
        ("127.0.0.1", ["1.1.1.1", "2.2.2.2"], False),
        ("127.0.0.0/8", ["1.1.1.1", "2.2.2.2"], False),
        ("127.0.0.1", ["3.3.3.3, 1.1.1.1", "4.4.4.4, 1.1.1.1"], True),  # only the proxy's own word counts
        ("127.0.0.1", ["2001:db8::1", "2001:db8::ffff:0:0:2"], True),  # one client has a whole /64
        ("127.0.0.1", ["2001:db8::1", "2001:db8:0:1::1"], False),
        ("127.0.0.1", ["::ffff:1.1.1.1", "1.1.1.1"], True),
        ("127.0.0.1", ["nonsense", "other nonsense"], True),
    ],
)
def test_only_trusted_proxies_say_whose_address_it_is(trusted, forwarded, shared):
    with gateway(trusted_proxies=trusted, rate_address="16/hour") as client:
        last = [client.post("/generate", headers={"X-Forwarded-For": value}) for value in forwarded][-1]
    assert left(last) == (14 if shared else 15)


# --- Redis ------------------------------------------------------------------------------------------

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="needs redis-server (Debian: apt install redis-server)"
)


class Redis:
    """A real server on a free port."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.program = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        for _ in range(400):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("redis-server does not answer")

    def stop(self) -> None:
        self.program.kill()
        self.program.wait()


@pytest.fixture
def redis():
    server = Redis()
    yield server
    server.stop()


@needs_redis
def test_redis_and_memory_count_alike(redis):
    async def compare() -> None:
        store, memory = RedisStore(redis.url), MemoryStore()
        for cards in (1, 16, 2, 16, 1, 5, 3, 1):
            (allowed, one), (also, other) = [
                await each.take("key/a", Rate(24, 3600), cards) for each in (store, memory)
            ]
            assert allowed == also
            assert used(one, 3600) == used(other, 3600)
            assert one.current_left == pytest.approx(other.current_left, abs=5)
        assert not store.failing
        await store.close()

    asyncio.run(compare())


@needs_redis
def test_several_gateways_count_together_in_redis(redis):
    settings = {"rate_address": "20/hour", "rate_store": redis.url}
    with gateway(**settings) as one, gateway(**settings) as other:
        assert left(one.post("/generate", json={"n": 8})) == 12
        assert left(other.post("/generate", json={"n": 8})) == 4
        assert one.post("/generate", json={"n": 8}).status_code == 429


def alone(client: httpx.Client) -> str:
    (line,) = re.findall(r"(?m)^holofoil_rates_alone (\S+)$", client.get("/metrics").text)
    return line


@asynccontextmanager
async def cut_off(redis: Redis, scripts: int) -> AsyncIterator[str]:
    """A way to Redis that breaks off before it has run one script more than these."""
    asked = 0

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while piece := await reader.read(65536):
            asked += piece.count(b"EVALSHA")
            if asked > scripts:
                break
            writer.write(piece)
        writer.close()

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, asking = await asyncio.open_connection("127.0.0.1", redis.port)
        await asyncio.gather(pass_on(reader, asking), pass_on(answers, writer))

    async with await asyncio.start_server(lead, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


@needs_redis
@pytest.mark.parametrize("scripts", [0, 1, 2])
async def test_cards_are_counted_once_wherever_redis_breaks_off(redis, scripts):
    rate = Rate(24, 3600)
    other = RedisStore(redis.url)
    await other.take("key/other", rate, 1)  # from now on Redis knows the scripts
    async with cut_off(redis, scripts) as url:
        store = RedisStore(url)
        allowed, counts = await store.take("key/a", rate, 4)
        there = Counts(*await other.redis.get_sliding_window("key/a", rate.seconds)).current
        for each in (store, other):
            await each.close()
    assert allowed
    assert used(counts, rate.seconds) == 4
    assert store.failing is (scripts < 2)
    assert there + store.memory.counts("key/a", rate.seconds).current == 4


@needs_redis
def test_redis_that_is_gone_or_hangs_stops_nobody_and_is_said_once(redis, caplog):
    with gateway(rate_address="40/hour", rate_store=redis.url, metrics="here") as client:
        assert left(client.post("/generate", json={"n": 8})) == 32
        assert alone(client) == "0.0"
        redis.program.send_signal(signal.SIGSTOP)
        with caplog.at_level(logging.WARNING):
            start = time.monotonic()
            answers = [client.post("/generate", json={"n": 8}) for _ in range(5)]
            assert [answer.status_code for answer in answers] == [200] * 5  # counted alone, anew
            assert left(answers[-1]) == 0
            assert client.post("/generate").status_code == 429
            assert time.monotonic() - start < 5
            assert alone(client) == "1.0"
            redis.stop()
            time.sleep(2.1)
            assert client.post("/generate").status_code == 429
            redis.start()
            time.sleep(2.1)
            assert left(client.post("/generate", json={"n": 8})) == 32
            assert alone(client) == "0.0"
    said = [record.getMessage() for record in caplog.records if record.name == "serving.rates"]
    assert len(said) == 2
    assert "counts alone" in said[0]
    assert "again" in said[1]
    assert redis.url not in caplog.text


async def test_a_redis_that_never_answers_is_waited_for_once_and_then_left_alone():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = RedisStore(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        began = time.monotonic()
        for left in range(9, -1, -1):
            allowed, counts = await store.take("key/a", Rate(10, 3600), 1)
            assert allowed
            assert used(counts, 3600) == 10 - left
        assert time.monotonic() - began < 4 * STORE_TIMEOUT
        await store.close()


@pytest.mark.parametrize(
    "url",
    ["redis://:s3cret@h:99999/0", "redis://:s3cret@h/0", "redis://:s3cret@h:port/0", "redis://:s3cret@[::1"],
)
def test_what_is_no_address_of_a_redis_is_told_without_its_password(url):
    with pytest.raises(BadStore) as refused:
        RedisStore(url)
    assert "s3cret" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6390/0?bogus=1", "redis+unix:///nowhere/redis.sock"])
async def test_an_address_that_asks_for_what_there_is_not_counts_alone(url, caplog):
    store = RedisStore(url)
    decisions = [await store.take("alice", Rate(10, 60), cards) for cards in (4, 7)]
    assert [allowed for allowed, _ in decisions] == [True, False]
    assert "counts alone" in caplog.text
    await store.close()
