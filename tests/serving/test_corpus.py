"""Every file of the corpus, sent to a gateway over HTTP."""

from collections.abc import Iterator

import httpx
import pytest

from serving.bodies import Problem
from tests.fakes.backend import FakeBackend
from tests.fakes.corpus import cases
from tests.fakes.live import live

TYPES = {
    "empty": (422, "/problems/validation"),
    "unsupported": (415, "/problems/unsupported-image"),
    "corrupt": (422, "/problems/image-corrupt"),
    "animated": (422, "/problems/image-animated"),
    "dimensions": (422, "/problems/image-dimensions"),
}


@pytest.fixture(scope="module")
def gateway() -> Iterator[httpx.Client]:
    with live(FakeBackend()) as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        yield client


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # on damaged files
@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_every_file_of_the_corpus_is_scored_or_refused_with_its_reason(gateway, case):
    answer = gateway.post("/score", files={"files": ("card", case.data)})
    if case.refused:
        status, type = TYPES[case.refused]
        problem = Problem.model_validate_json(answer.content)
        assert (answer.status_code, problem.type) == (status, type)
        assert [fault.pointer for fault in problem.errors] == ["/files/0"]
        return
    assert answer.status_code == 200, answer.text
    (scored,) = answer.json()["data"]
    assert tuple(scored["applied"]) == (*case.applied, "resize")
