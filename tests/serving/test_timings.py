"""Stages of a request: counted where they happen, told once."""

import asyncio
import re

import pytest

from serving import timings
from serving.timings import Timings, stage


def test_stages_are_told_in_the_order_of_a_request_and_only_those_that_happened():
    spent = Timings({"encode": 0.0125, "queue": 1.5})
    assert spent.server_timing() == "queue;dur=1500.00, encode;dur=12.50"
    assert Timings().server_timing() == ""


async def test_tasks_and_threads_of_a_request_count_for_it_and_for_no_other():
    async def request(stages: int) -> Timings:
        mine = Timings()
        timings.begin(mine)

        def in_thread() -> None:
            with stage("decode"):
                pass

        async def in_task() -> None:
            with stage("infer"):
                await asyncio.sleep(0.002)
            await asyncio.to_thread(in_thread)

        await asyncio.gather(*(in_task() for _ in range(stages)))
        return mine

    three, none = await asyncio.gather(request(3), request(0))
    assert three.seconds["infer"] >= 3 * 0.002
    assert set(three.seconds) == {"infer", "decode"}
    assert none.seconds == {}


async def test_a_stage_that_fails_is_counted_and_fails():
    spent = Timings()
    timings.begin(spent)
    with pytest.raises(KeyError), stage("infer"):
        raise KeyError
    assert re.fullmatch(r"infer;dur=\d+\.\d\d", spent.server_timing())


def test_outside_of_a_request_nothing_is_kept():
    with stage("infer"):
        pass
    assert timings.current().seconds == {}
