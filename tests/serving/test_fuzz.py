"""Mutated requests to a gateway in a process of its own. `make fuzz` sends ten thousand."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

from serving.bodies import Problem
from serving.problems import MEDIA_TYPE
from tests.fakes.mutants import Mutant, mutant
from tests.fakes.process import running

REQUESTS = int(os.environ.get("FUZZ", "300"))
FIRST = int(os.environ.get("FUZZ_SEED", "0"))
SECONDS = 60  # in which any answer must be there, on a busy machine
GROWTH = 60  # MiB of memory between the first tenth of the requests and the last


def test_no_request_breaks_the_gateway():
    with running(max_body=200_000) as gateway, httpx.Client(trust_env=False, timeout=SECONDS) as client:

        def send(seed: int) -> tuple[int, str]:
            request = mutant(seed)
            try:
                answer = answer_to(client, gateway.url, request)
            except httpx.TransportError as error:
                return seed, f"{error!r} for {request.method} {request.path}"
            return seed, fault_of(request, answer)

        with ThreadPoolExecutor(8) as pool:
            seeds = range(FIRST, FIRST + REQUESTS)
            faults = dict(pool.map(send, seeds[: REQUESTS // 10]))
            settled = gateway.memory
            faults |= dict(pool.map(send, seeds[REQUESTS // 10 :]))
        grown = gateway.memory - settled
        assert client.get(f"{gateway.url}/healthz").status_code == 200
    wrong = {seed: fault for seed, fault in faults.items() if not fault.isdecimal()}
    assert not wrong
    answers = Counter(faults.values())
    print(f"{REQUESTS} requests, {grown:+.1f} MiB: {dict(sorted(answers.items()))}")  # noqa: T201
    assert {"200", "400", "415", "422"} <= answers.keys()
    assert grown < GROWTH


def answer_to(client: httpx.Client, url: str, request: Mutant) -> httpx.Response:
    """Send a request as it is; bytes that no client would put into a header go out as they are."""
    headers = [(name.encode(), value.encode("latin-1")) for name, value in request.headers.items()]
    return client.request(request.method, url + request.path, content=request.body, headers=headers)


def fault_of(request: Mutant, answer: httpx.Response) -> str:
    """Return the status of a right answer, or what is wrong about it."""
    status = answer.status_code
    if status >= 500:
        return f"{status} to {request.method} {request.path}: {answer.text}"
    if status >= 400 and request.method != "HEAD":
        if answer.headers["content-type"] != MEDIA_TYPE:
            return f"{status} as {answer.headers['content-type']}"
        if Problem.model_validate_json(answer.content).status != status:
            return f"{status} with another in the problem"
    return str(status)
