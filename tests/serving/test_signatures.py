"""What a model card must say of the kinds, without any model."""

import json

import numpy as np
import pytest

from serving.signatures import BrokenContract, Spec, Specs, classes_of, takes_labels


def described(card: bytes | str) -> dict[str, np.ndarray]:
    return {"card": np.array([card if isinstance(card, bytes) else card.encode()], object)}


def test_the_kinds_are_named_in_the_order_of_their_labels():
    assert classes_of(described(json.dumps({"classes": ["goblins", "elves", "Käfer"]}))) == (
        "goblins",
        "elves",
        "Käfer",
    )


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"card": np.array([], object)},
        {"card": np.array([1.0], np.float32)},
        described(b"no JSON"),
        described(b"\xff\xfe\xfd"),
        described("[]"),
        described("{}"),
        described('{"classes": null}'),
        described('{"classes": "ab"}'),
        described('{"classes": {"a": 0, "b": 1}}'),
        described('{"classes": []}'),
        described('{"classes": [0, 1]}'),
        described('{"classes": ["elves", ""]}'),
        described('{"classes": ["elves", "elves"]}'),
        described('{"classes": ["elves", "\\ud800"]}'),
    ],
)
def test_a_model_card_without_names_for_the_kinds_breaks_the_contract(answer):
    with pytest.raises(BrokenContract, match="takes label, but its model card has no classes"):
        classes_of(answer)


def test_labels_of_another_type_break_the_contract():
    def generate(**label: Spec) -> Specs:
        return Specs({"noise": Spec("float32", (None, 8)), **label}, {})

    assert not takes_labels(generate())
    assert takes_labels(generate(label=Spec("int32", (None,))))
    for wrong in (Spec("int64", (None,)), Spec("int32", (None, 2))):
        with pytest.raises(BrokenContract, match="needs int32"):
            takes_labels(generate(label=wrong))
