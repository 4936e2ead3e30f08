import json

import pytest
from starlette.exceptions import HTTPException

from serving import problems
from serving.backend import BackendError, Unavailable
from serving.problems import KINDS, Fault, Problem, Refusal, answer, from_backend, from_http


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


def test_a_backend_may_refine_its_errors():
    class Restarting(Unavailable):
        pass

    assert from_backend(Restarting("Wait.")).kind == problems.BACKEND_UNAVAILABLE
    assert from_backend(BackendError("Odd.")).kind == problems.BACKEND_ERROR
