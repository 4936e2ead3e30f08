"""GET /healthz and GET /readyz over real sockets."""

from tests.serving.asking import VERSION


def test_readiness_describes_the_models(client):
    assert client.get("/readyz").json() == {
        "status": "ready",
        "version": VERSION,
        "noise_size": 12,
        "height": 70,
        "width": 50,
        "classes": [],
    }
