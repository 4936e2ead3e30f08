"""The batcher's laws, in simulated time: whatever comes, in whatever order, each owner gets its own rows."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.backend import (
    BackendError,
    BadAnswer,
    DeadlineExceeded,
    Draining,
    Generated,
    ModelInfo,
    NotReady,
    Overloaded,
    Scored,
    Unavailable,
)
from serving.contract import BATCH_SIZES, GENERATE, SCORE
from serving.observer import Observer
from tests.fakes.batched import Batched
from tests.fakes.simulated import simulate

FULL = BATCH_SIZES[-1]
PATIENT = 1000.0


def noise_of(numbers) -> np.ndarray:
    return np.column_stack([np.asarray(numbers, np.float32), np.zeros(len(numbers), np.float32)])


def cards_of(numbers, labels=None) -> np.ndarray:
    """Cards of 1x2 pixels that tell their row's number, and its label plus 1."""
    tags = np.zeros(len(numbers), np.int32) if labels is None else np.asarray(labels, np.int32) + 1
    words = np.column_stack([np.asarray(numbers, np.uint32), tags.astype(np.uint32)])
    return words.view(np.uint8).reshape(len(numbers), 1, 2, 4)[..., :3].copy()


def numbers_of(cards: np.ndarray) -> list[int]:
    return (cards[:, 0, 0].astype(int) @ [1, 256, 65536]).tolist()


@dataclass
class Call:
    """One model call: its rows by their numbers, and when it was under way."""

    model: str
    numbers: list[int]
    start: float
    end: float = float("inf")


@dataclass
class Models:
    """A backend that knows each row by its number, and takes a time that grows with the rows."""

    cost: tuple[float, float] = (0.010, 0.004)  # seconds a call, and a row
    bad: frozenset[int] = frozenset()  # numbers of rows at which a call fails
    failure: BackendError | None = None
    version: str = "1"
    classes: tuple[str, ...] = ("elves", "goblins")
    calls: list[Call] = field(default_factory=list)
    inputs: list[np.ndarray] = field(default_factory=list)
    closed: bool = False

    async def info(self) -> ModelInfo:
        return ModelInfo(self.version, 2, 1, 2, self.classes)

    async def generate(self, noise, labels=None, *, deadline=None) -> Generated:
        version, numbers = self.version, noise[:, 0].astype(int)
        await self.work(GENERATE.model, numbers.tolist(), noise)
        return Generated(cards_of(numbers, labels), version)

    async def score(self, cards, *, deadline=None) -> Scored:
        version, numbers = self.version, numbers_of(cards)
        await self.work(SCORE.model, numbers, cards)
        logit = np.asarray(numbers, np.float32)
        return Scored(logit, -logit, logit + 1, version)

    async def work(self, model: str, numbers: list[int], rows: np.ndarray) -> None:
        loop = asyncio.get_running_loop()
        call = Call(model, numbers, loop.time())
        self.calls.append(call)
        self.inputs.append(rows)
        await asyncio.sleep(self.cost[0] + self.cost[1] * len(numbers))
        call.end = loop.time()
        if self.failure:
            raise self.failure
        if self.bad & set(numbers):
            raise BadAnswer("One row is bad.")

    async def close(self) -> None:
        self.closed = True


@dataclass
class Request:
    """What a client does: comes, asks for rows, waits until its deadline or leaves before."""

    at: float
    model: str
    rows: int
    patience: float = PATIENT
    leaves: float = PATIENT
    labelled: bool = False

    number: int = 0
    order: int = 0
    sent: float = 0
    ended: float = 0
    outcome: str = ""

    @property
    def numbers(self) -> list[int]:
        return [100 * self.number + row for row in range(self.rows)]

    async def run(self, batcher: Batched, clock: "Clock") -> None:
        await asyncio.sleep(self.at)
        self.order, self.sent = clock.tick(), clock.now()
        try:
            async with asyncio.timeout(self.leaves):
                self.outcome = await self.ask(batcher, clock.now() + self.patience)
        except TimeoutError:
            self.outcome = "gone"
        except Overloaded:
            self.outcome = "refused"
        except DeadlineExceeded:
            self.outcome = "late"
        except BadAnswer:
            self.outcome = "bad"
        self.ended = clock.now()

    async def ask(self, batcher: Batched, deadline: float) -> str:
        """Ask, and say whether the answer is this request's own, row by row."""
        if self.model == SCORE.model:
            scored = await batcher.score(cards_of(self.numbers), deadline=deadline)
            logit = np.asarray(self.numbers, np.float32)
            got = np.stack([scored.logit, scored.probability, scored.percentile])
            return "answered" if np.array_equal(got, [logit, -logit, logit + 1]) else "wrong"
        labels = np.arange(self.rows, dtype=np.int32) % 2 if self.labelled else None
        drawn = await batcher.generate(noise_of(self.numbers), labels, deadline=deadline)
        return "answered" if np.array_equal(drawn.cards, cards_of(self.numbers, labels)) else "wrong"


class Clock:
    """The loop's time, and a count for what happens at the same time."""

    def __init__(self) -> None:
        self.ticks = 0

    def tick(self) -> int:
        self.ticks += 1
        return self.ticks

    def now(self) -> float:
        return asyncio.get_running_loop().time()


class Ledger(Observer):
    """Adds up what the batcher tells."""

    def __init__(self) -> None:
        self.rows = {"dispatched": 0, "padding": 0, "abandoned": 0}
        self.left = dict.fromkeys((GENERATE.model, SCORE.model), 0)

    def waiting(self, model, rows):
        assert rows >= 0
        self.left[model] = rows

    def dispatched(self, model, rows, padding):
        self.rows["dispatched"] += rows
        self.rows["padding"] += padding

    def abandoned(self, model, rows, loss):
        self.rows["abandoned"] += rows


def told(
    requests: list[Request], models: Models, slots: int, ledger: Observer | None = None
) -> list[Request]:
    """Let the requests happen and return them with their ends."""

    async def story() -> None:
        batcher = Batched(models, deadline=PATIENT, slots=slots, max_rows=400, observer=ledger)
        await batcher.info()
        clock = Clock()
        for number, request in enumerate(requests):
            request.number = number
        await asyncio.gather(*(request.run(batcher, clock) for request in requests))
        await asyncio.sleep(PATIENT)  # calls that nobody waits for end
        await batcher.close()

    simulate(story())
    return requests


def moments(most: float) -> st.SearchStrategy[float]:
    return st.integers(0, round(most * 1000)).map(lambda milliseconds: milliseconds / 1000)


REQUESTS = st.lists(
    st.builds(
        Request,
        at=moments(0.3),
        model=st.sampled_from([GENERATE.model, SCORE.model]),
        rows=st.integers(1, 40),
        patience=st.one_of(st.just(PATIENT), moments(0.5)),
        leaves=st.one_of(st.just(PATIENT), moments(0.3)),
        labelled=st.booleans(),
    ),
    min_size=1,
    max_size=25,
)
COSTS = st.tuples(moments(0.05), moments(0.02))


@settings(max_examples=60)
@given(requests=REQUESTS, cost=COSTS, slots=st.integers(1, 3))
def test_every_row_is_answered_once_to_its_owner_or_its_owner_was_told_or_left(requests, cost, slots):
    models, ledger = Models(cost), Ledger()
    told(requests, models, slots, ledger)
    asked = {number: request for request in requests for number in request.numbers}
    computed = [number for call in models.calls for number in dict.fromkeys(call.numbers)]
    assert len(computed) == len(set(computed))
    for request in requests:
        assert request.outcome in ("answered", "gone", "late", "refused")
        if request.outcome == "answered":
            assert set(request.numbers) <= set(computed)
        if request.outcome == "gone":
            assert request.ended - request.sent == pytest.approx(request.leaves)
        if request.outcome == "late":
            assert request.ended - request.sent == pytest.approx(request.patience)
        if request.outcome == "refused":
            assert request.ended == request.sent
            assert request.patience > 0
    for call in models.calls:
        for number in call.numbers:
            assert asked[number].model == call.model
            assert asked[number].outcome != "refused"
            assert call.start <= asked[number].ended  # nothing is computed for the gone
    rows = ledger.rows
    assert rows["dispatched"] == len(computed)
    assert rows["padding"] == sum(len(call.numbers) for call in models.calls) - len(computed)
    let_in = [request for request in requests if request.patience and request.outcome != "refused"]
    assert rows["dispatched"] + rows["abandoned"] == sum(request.rows for request in let_in)
    assert set(ledger.left.values()) == {0}


@settings(max_examples=60)
@given(requests=REQUESTS, cost=COSTS, slots=st.integers(1, 3))
def test_calls_are_full_sized_few_and_never_wait_while_a_slot_is_free(requests, cost, slots):
    models = Models(cost)
    told(requests, models, slots)
    first_call: dict[int, float] = {}
    for call in models.calls:
        assert len(call.numbers) in BATCH_SIZES
        real = list(dict.fromkeys(call.numbers))
        assert call.numbers == real + real[-1:] * (len(call.numbers) - len(real))
        for number in real:
            first_call.setdefault(number // 100, call.start)
    instants = sorted({call.start for call in models.calls} | {call.end for call in models.calls})

    def under_way(since: float, until: float) -> int:
        return sum(call.start <= since and call.end >= until for call in models.calls)

    for since, until in pairwise(instants):
        assert under_way(since, until) <= slots
        for request in requests:
            if request.sent <= since and until <= first_call.get(request.number, 0):
                assert under_way(since, until) == slots


@settings(max_examples=60)
@given(requests=REQUESTS, cost=COSTS, slots=st.integers(1, 3))
def test_a_lane_is_first_come_first_served_and_the_two_take_turns(requests, cost, slots):
    models = Models(cost)
    told(requests, models, slots)
    owner = {number: request for request in requests for number in request.numbers}
    last_call: dict[int, int] = {}
    for model in (GENERATE.model, SCORE.model):
        served = [n for call in models.calls if call.model == model for n in dict.fromkeys(call.numbers)]
        assert [owner[n].order for n in served] == sorted(owner[n].order for n in served)
    for place, call in enumerate(models.calls):
        for number in call.numbers:
            last_call[number // 100] = place
    for place, (one, next) in enumerate(pairwise(models.calls), start=1):
        if one.model == next.model:
            for request in requests:
                waited = request.sent < one.start and last_call.get(request.number, -1) > place
                assert request.model == one.model or not waited


def calls_at_once(*requests: Request, slots: int) -> list[tuple[str, int]]:
    """Return the calls that begin when these requests come, as models and rows."""
    models = Models()
    told(list(requests), models, slots)
    return sorted(
        (call.model, len(call.numbers)) for call in models.calls if call.start == models.calls[0].start
    )


def test_rows_that_come_to_free_slots_share_them():
    together = [Request(0.0, GENERATE.model, 1) for _ in range(8)]
    assert calls_at_once(*together, slots=2) == [(GENERATE.model, 4)] * 2
    assert calls_at_once(Request(0.0, GENERATE.model, 16), slots=2) == [(GENERATE.model, 8)] * 2
    assert calls_at_once(Request(0.0, GENERATE.model, 16), slots=1) == [(GENERATE.model, 16)]
    assert calls_at_once(Request(0.0, GENERATE.model, 40), slots=2) == [(GENERATE.model, 16)] * 2


def test_rows_for_the_other_model_get_a_slot_too():
    both = [Request(0.0, GENERATE.model, 16), Request(0.0, SCORE.model, 8)]
    assert calls_at_once(*both, slots=2) == [(SCORE.model, 8), (GENERATE.model, 16)]


@given(
    rows=st.lists(st.integers(1, 6), min_size=1, max_size=12),
    bad=st.integers(0, 11),
    row=st.integers(0, 5),
    slots=st.integers(1, 2),
)
def test_one_bad_row_fails_its_owner_alone(rows, bad, row, slots):
    requests = [Request(0.0, SCORE.model, count) for count in rows]
    guilty = bad % len(rows)
    models = Models(bad=frozenset({100 * guilty + row % rows[guilty]}))
    told(requests, models, slots)
    outcomes = ["bad" if number == guilty else "answered" for number in range(len(rows))]
    assert [request.outcome for request in requests] == outcomes


def test_rows_that_are_all_bad_cost_three_calls_not_one_each():
    requests = [Request(0.0, SCORE.model, 1) for _ in range(17)]
    models = Models(bad=frozenset(100 * number for number in range(17)))
    told(requests, models, slots=1)
    assert {request.outcome for request in requests} == {"bad"}
    assert sorted(len(call.numbers) for call in models.calls) == [1, 8, 8, 16]


def run(
    story: Callable[[Batched, Models], Awaitable[None]], models: Models | None = None, **options
) -> Models:
    """Let a story happen in simulated time."""
    models = models or Models()

    async def whole() -> None:
        batcher = Batched(models, **{"deadline": 10.0, **options})
        await batcher.info()
        await story(batcher, models)
        await batcher.close()

    simulate(whole())
    return models


def test_a_model_server_that_is_gone_is_asked_once_for_the_whole_batch():
    async def story(batcher, models):
        asked = [batcher.generate(noise_of([number])) for number in range(9)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(answer) for answer in answers} == {Unavailable}

    models = run(story, Models(failure=Unavailable("Nobody is there.")))
    assert len(models.calls) <= 2


@pytest.mark.parametrize(
    ("cost", "sizes"),
    [((0.0, 1.0), [8, 1]), ((0.5, 1.0), [8, 1]), ((8.0, 1.0), [16]), ((1.0, 0.0), [16])],
)
def test_a_batch_is_filled_up_unless_a_second_call_takes_less_time(cost, sizes):
    async def story(batcher, models):
        for rows in (1, FULL):  # how long calls take is known then
            await batcher.generate(noise_of(range(rows)))
        drawn = await batcher.generate(noise_of(range(9)))
        assert numbers_of(drawn.cards) == list(range(9))

    models = run(story, Models(cost), deadline=100.0)
    assert [len(call.numbers) for call in models.calls[2:]] == sizes


def test_what_fills_a_batch_size_is_not_copied():
    async def story(batcher, models):
        cards = cards_of(range(FULL))
        await batcher.score(cards)
        assert np.shares_memory(cards, models.inputs[0])

    run(story)


def test_rows_are_let_in_before_they_come_and_make_room_when_they_never_do():
    async def story(batcher, models):
        with batcher.drawing(16), batcher.drawing(16):
            with pytest.raises(Overloaded) as refused, batcher.drawing(1):
                pass
            assert refused.value.retry_after >= 0
            with batcher.judging(32):  # the other lane has its own room
                pass
        with batcher.drawing(16) as draw, batcher.drawing(16):
            drawn = await draw(noise_of([1, 2]), None, ())  # fewer than were let in
            assert numbers_of(drawn.cards) == [1, 2]

    run(story, max_rows=32)


def test_who_would_wait_past_the_deadline_is_refused_and_with_nobody_ahead_all_may_try():
    async def story(batcher, models):
        now = asyncio.get_running_loop().time
        for rows in (1, 16):  # 1 s a call, and a row
            await batcher.generate(noise_of(range(rows)), deadline=now() + 100)
        with batcher.drawing(16, now() + 0.5):  # sixteen seconds: too many, but who knows
            with pytest.raises(Overloaded) as refused, batcher.drawing(1, now() + 5):
                pass
            assert 10 < refused.value.retry_after < 100
            with batcher.drawing(1, now() + 60):
                pass
            with batcher.judging(1, now() + 0.1):  # nothing is known of the other lane
                pass

    run(story, Models(cost=(1.0, 1.0)))


@pytest.mark.parametrize("slots", [1, 2])
def test_the_expected_wait_is_for_all_rows_ahead_ones_own_and_as_many_calls_of_the_other_lane(slots):
    async def story(batcher, models):
        now = asyncio.get_running_loop().time
        for rows in (1, FULL):  # 1 s a call, and a row
            await batcher.generate(noise_of(range(rows)))
            await batcher.score(cards_of(range(rows)))

        def fits(rows: int, seconds: float) -> bool:
            try:
                with batcher.drawing(rows, now() + seconds / slots):
                    return True
            except Overloaded:
                return False

        def wait(rows: int) -> int:
            return next(seconds for seconds in range(100) if fits(rows, seconds + 0.5))

        with batcher.drawing(FULL):
            assert wait(1) == 2 + FULL + 1
            assert wait(FULL) == 2 + 2 * FULL
            with batcher.judging(1):
                assert wait(1) == 2 + FULL + 1 + (1 + FULL)
            with batcher.judging(5 * FULL):
                assert wait(1) == 2 + FULL + 1 + 2 * (1 + FULL)

    run(story, Models(cost=(1.0, 1.0)), deadline=1000.0, slots=slots)


def test_nobody_is_let_in_behind_more_than_may_wait_whatever_the_deadline():
    async def story(batcher, models):
        now = asyncio.get_running_loop().time
        for rows in (1, 16):  # 1 s a call, and a row
            await batcher.generate(noise_of(range(rows)))
        with batcher.drawing(100):  # nobody is ahead: many cards of one request are no queue
            with pytest.raises(Overloaded), batcher.drawing(1, now() + 1000):
                pass
            with batcher.judging(1):
                pass
        with batcher.drawing(1), batcher.drawing(1, now() + 1000):
            pass

    run(story, Models(cost=(1.0, 1.0)), deadline=1000.0, max_wait=20.0)


def test_labels_whose_names_are_gone_when_their_turn_comes_are_not_drawn():
    async def story(batcher, models):
        labels = np.zeros(1, np.int32)
        busy = asyncio.create_task(batcher.generate(noise_of([1]), labels))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(batcher.generate(noise_of([2]), labels))
        await asyncio.sleep(0.001)
        models.classes = ("trolls",)
        with pytest.raises(NotReady, match="replaced"):
            await waiting
        await busy
        await batcher.info()
        await batcher.generate(noise_of([3]), labels)

    run(story)


def test_an_answer_by_two_versions_is_asked_for_again():
    async def story(batcher, models):
        asked = asyncio.create_task(batcher.generate(noise_of(range(20))))
        await asyncio.sleep(0.001)
        models.version = "2"
        drawn = await asked
        assert (drawn.version, numbers_of(drawn.cards)) == ("2", list(range(20)))

    run(story)


def test_who_asks_what_the_models_are_waits_until_its_deadline_and_no_longer():
    class Silent(Models):
        async def info(self) -> ModelInfo:
            await asyncio.sleep(100)
            return await super().info()

    async def story() -> None:
        now = asyncio.get_running_loop().time
        batcher = Batched(Silent(), deadline=10.0)
        began = now()
        with pytest.raises(DeadlineExceeded):
            await batcher.info(deadline=began + 3)
        assert now() == began + 3
        assert (await batcher.info()).classes == Models.classes
        await batcher.close()

    simulate(story())


def test_closing_tells_those_who_wait():
    async def story(batcher, models):
        asked = [asyncio.create_task(batcher.generate(noise_of([number]))) for number in range(40)]
        await asyncio.sleep(0.001)
        await batcher.close()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(answer) for answer in answers} == {Draining}
        assert models.closed

    run(story)


class Faulty(Observer):
    """Fails when rows go into a call."""

    def __init__(self) -> None:
        self.before = 0

    def waiting(self, model, rows):
        fewer, self.before = rows < self.before, rows
        if fewer:
            raise RuntimeError("a fault of the gateway")


def test_a_batcher_that_fails_says_so_and_has_the_process_ended():
    ends: list[str] = []

    async def story(batcher, models):
        with pytest.raises(RuntimeError), batcher.drawing(1):  # the fault, met by the request itself
            pass
        asked = asyncio.create_task(batcher.generate(noise_of([1])))
        await asyncio.wait([asked])
        assert asked.exception()
        with pytest.raises(NotReady, match="queue has failed"):
            await batcher.info()
        with pytest.raises(NotReady, match="queue has failed"):
            await batcher.score(cards_of([1]))

    run(story, observer=Faulty(), on_failure=lambda: ends.append("ended"))
    assert ends == ["ended"]


def test_each_owner_hears_of_its_own_rows_as_itself():
    name: ContextVar[str] = ContextVar("name")
    heard: list[tuple[str, int]] = []

    class Owners(Observer):
        def answered(self, rows, queued, inferred):
            heard.append((name.get(), rows))

    async def ask(batcher: Batched, owner: str, rows: int) -> None:
        name.set(owner)
        await batcher.score(cards_of(range(rows)))

    async def story(batcher, models):
        await asyncio.gather(ask(batcher, "ann", FULL), ask(batcher, "bob", 2))

    run(story, observer=Owners())
    assert heard == [("ann", FULL), ("bob", 2)]


def test_a_request_of_several_calls_has_waited_until_the_first_of_them():
    told: list[tuple[float, float]] = []

    class Owner(Observer):
        def answered(self, rows, queued, inferred):
            told.append((queued, inferred))

    async def story(batcher, models):
        asked = [batcher.score(cards_of(range(rows))) for rows in (FULL, 2 * FULL)]
        await asyncio.gather(*asked)

    run(story, Models(cost=(1.0, 0.0)), observer=Owner())
    assert told == [pytest.approx((0, 1)), pytest.approx((1, 2))]


def test_no_rows_are_no_request():
    async def story(batcher, models):
        with pytest.raises(ValueError, match="no rows"):
            await batcher.generate(noise_of([]))

    run(story)
