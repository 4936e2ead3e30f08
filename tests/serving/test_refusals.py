import json

import pytest
from starlette.exceptions import HTTPException

from serving import problems
from serving.backend import (
    BackendError,
    BadAnswer,
    DeadlineExceeded,
    Draining,
    NotReady,
    Overloaded,
    Unavailable,
)
from serving.bodies import Fault, Problem
from serving.problems import KINDS
from serving.refusals import Refusal, answer, from_backend, from_http


def test_no_two_kinds_share_a_name():
    assert len({kind.name for kind in KINDS}) == len(KINDS) > 10


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_is_an_rfc_9457_problem(kind):
    fault = Fault(pointer="/n", code="code", detail="In words.")
    response = answer(Refusal(kind, "Do this.", [fault], {"X-Extra": "1"}), "id-1")
    assert response.status_code == kind.status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-extra"] == "1"
    assert ("retry-after" in response.headers) == (kind.status == 503)
    problem = Problem.model_validate_json(bytes(response.body))
    assert (problem.status, problem.title, problem.instance) == (kind.status, kind.title, "id-1")
    assert problem.errors == [fault]


def test_what_the_framework_says_is_not_passed_on():
    for status in (400, 404, 405, 418, 500):
        refusal = from_http(HTTPException(status, detail="secret"))
        assert refusal.kind.status == status
        assert refusal.kind.type == ("/problems/not-found" if status == 404 else "about:blank")
        assert "secret" not in json.dumps([refusal.detail, refusal.kind.title])


class Restarting(Unavailable):
    """A backend may refine its errors."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NotReady("Later."), problems.NOT_READY),
        (Draining("Elsewhere."), problems.DRAINING),
        (Overloaded("Later.", 3.0), problems.OVERLOADED),
        (Unavailable("Later."), problems.BACKEND_UNAVAILABLE),
        (Restarting("Later."), problems.BACKEND_UNAVAILABLE),
        (DeadlineExceeded("Fewer."), problems.DEADLINE_EXCEEDED),
        (BadAnswer("Export them."), problems.BACKEND_ERROR),
        (BackendError("Odd."), problems.BACKEND_ERROR),
    ],
)
def test_every_failure_of_the_models_is_a_problem_of_its_own(error, kind):
    assert from_backend(error).kind == kind


def test_a_client_is_told_how_long_the_models_will_take():
    assert 20 <= int(from_backend(Unavailable("Later.", retry_after=20)).headers["Retry-After"]) <= 24
