from pathlib import Path

import pytest
from pydantic import ValidationError

from serving.app import create_app, open_backend
from serving.settings import Settings
from serving.tfserving import TFServingBackend


def test_every_setting_explains_itself():
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith(".")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 65536),
        ("port", -1),
        ("deadline", 0),
        ("deadline", float("inf")),
        ("deadline", float("nan")),
        ("max_body", 0),
        ("max_body", 2**40),  # more than all bodies together
        ("max_bodies", 1000),
        ("body_timeout", -1),
        ("tfserving", "http://tfserving:8501"),
        ("tfserving", "tfserving"),  # gRPC would ask at port 443
        ("trusted_proxies", "proxy.example"),  # uvicorn would wait for a proxy of that name
        ("trusted_proxies", "10.0.0.0/33"),
        ("trusted_proxies", "10.0.0.0/8, 10.1.0.0/8"),  # has bits behind the network's
        ("metrics", "9464"),
        ("metrics", ":9464"),
        ("metrics", "localhost:http"),
        ("metrics", "localhost:65536"),
        ("metrics", "localhost:-1"),
        ("log_level", "loud"),
        ("log_format", "xml"),
        ("colour", "red"),
        ("rate_key", "600"),
        ("rate_address", "15/minute"),  # a request may ask for 16 cards
        ("rate_store", "memcached://host"),
        ("origins", "*"),
        ("origins", "https://site.example/"),
        ("origins", "https://site.example, null"),
        ("origins", "https://Site.example"),
        ("origins", "https://site.example:443"),
    ],
)
def test_a_wrong_setting_is_refused(name, value):
    with pytest.raises(ValidationError):
        Settings.model_validate({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_body", 128 * 1024 * 1024),  # as much as all bodies together
        ("tfserving", "tfserving:8500"),
        ("tfserving", "unix:/run/tfserving"),
        ("trusted_proxies", "10.0.0.0/8, ::1"),
        ("metrics", "localhost:65535"),
        ("origins", "https://site.example, http://localhost:3000"),
        ("max_rows", 16),
        ("drain_delay", 0),
    ],
)
def test_a_setting_that_is_right_is_kept_as_it_was_given(name, value):
    assert getattr(Settings.model_validate({name: value}), name) == value


def test_a_wrong_address_of_redis_is_not_repeated():
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({"rate_store": "http://:secret@host"})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("metrics", "address"),
    [
        (None, None),
        ("here", None),
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("[::1]:0", ("::1", 0)),
        ("gateway:80", ("gateway", 80)),
    ],
)
def test_metrics_have_an_address_of_their_own_where_one_is_given(metrics, address):
    assert Settings(metrics=metrics).metrics_address == address


def test_settings_do_not_change_once_they_are_read():
    with pytest.raises(ValidationError):
        Settings().port = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_an_address_of_tf_serving_chooses_it():
    assert isinstance(open_backend(Settings(tfserving="localhost:8500")), TFServingBackend)


def test_making_the_application_opens_nothing():
    create_app(Settings(models=Path("/nowhere"), tfserving="nowhere:1"))
