"""What HTTP carries: the JSON of requests and answers, as OpenAPI describes it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, JsonValue

from serving import cards
from serving.contract import MAX_ROWS, MODELS
from serving.fields import PLAIN, WHOLE, Classes, NoiseValue, Quality, Seed, Truncation


def example(**fields: JsonValue) -> ConfigDict:
    """Show in OpenAPI what a model looks like."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class GenerateBody(BaseModel):
    """What to draw. No body at all means every default."""

    model_config = ConfigDict(extra="forbid", strict=True)

    n: Annotated[int, Field(ge=1, le=MAX_ROWS), WHOLE] = Field(default=1, description="How many cards.")
    seed: Seed | None = Field(
        default=None,
        description="Card i is drawn from (seed + i) mod 2**32, so each can be drawn again alone. "
        "null lets the gateway draw one and name it.",
    )
    noise: list[Annotated[list[NoiseValue], Field(min_length=1), FailFast()]] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_ROWS,
        description="The noise itself in place of seed and truncation: one row for each card, each with as "
        "many numbers as /models lists under noise_size. Training saw the standard normal distribution.",
    )
    label: str | None = Field(
        default=None,
        description="The kind of all cards, by a name that /models lists under classes. null has each card's "
        "kind follow from its seed. For models that know no kinds only null is allowed.",
    )
    truncation: Truncation = 1.0
    layout: Literal["cards", "sheet"] = Field(
        default="cards",
        description="sheet puts all cards on one image, the contact sheet, which is then the whole answer.",
    )
    output_format: cards.Format = Field(
        default="png", description="Of the images; Accept: image/webp says the same."
    )
    output_compression: Quality | None = Field(
        default=None, description="Quality of jpeg and webp, 90 unless given; not for png."
    )

    @property
    def count(self) -> int:
        """How many cards are to be drawn."""
        return self.n if self.noise is None else len(self.noise)


class CardQuery(BaseModel):
    """Which card to draw, in the query of its address."""

    model_config = ConfigDict(extra="forbid")

    seed: Annotated[Seed, PLAIN] = Field(description="The card's seed.")
    truncation: Annotated[Truncation, PLAIN] = 1.0
    label: str | None = Field(
        default=None,
        description="The card's kind, by a name that /models lists under classes; else it follows from the "
        "seed.",
    )
    format: cards.Format = Field(default="png", description="Of the image.")
    quality: Annotated[Quality, PLAIN] | None = Field(
        default=None, description="Of jpeg and webp, 90 unless given; not for png."
    )


class MorphBody(BaseModel):
    """Which cards to turn into each other, and how."""

    model_config = ConfigDict(extra="forbid", strict=True)

    seeds: list[Seed] = Field(min_length=2, max_length=MAX_ROWS, description="The cards to pass, in order.")
    frames: Annotated[int, Field(ge=1, le=120), WHOLE] = Field(
        default=12, description="From one card to the next. In all there may be 128."
    )
    milliseconds: Annotated[int, Field(ge=20, le=5000), WHOLE] = Field(
        default=80, description="How long each frame is shown; GIF rounds to 10."
    )
    loop: bool = Field(
        default=True, description="Goes back to the first card and on, for ever; else ends with the last."
    )
    label: str | None = Field(
        default=None,
        description="The kind of all frames, by a name that /models lists under classes; null for the kind "
        "of the first seed.",
    )
    truncation: Truncation = 1.0

    @property
    def count(self) -> int:
        """How many cards are to be drawn: a frame each."""
        steps = len(self.seeds) - (not self.loop)
        return self.frames * steps + (not self.loop)


class Model(BaseModel):
    """Which model answered."""

    name: str
    version: str


class DrawnCard(BaseModel):
    """One generated card."""

    index: int
    seed: int | None = Field(
        description="Draws this card again, with n = 1 and the same label and truncation; null for noise of "
        "the client's own."
    )
    label: str | None = Field(description="The kind of this card; null from models that know no kinds.")
    media_type: str
    width: int
    height: int
    b64_json: str = Field(description="The image file in base64.")


class Drawing(BaseModel):
    """The generated cards."""

    model_config = example(
        id="gen_2f6e57fa8c2c64f3bd4d6f2b",
        created=1795555360,
        model={"name": "generator", "version": "20261128011101"},
        data=[
            {
                "index": 0,
                "seed": 42,
                "label": "elves",
                "media_type": "image/png",
                "width": 80,
                "height": 112,
                "b64_json": "iVBORw0KGgo=",
            }
        ],
    )

    id: str
    created: int = Field(description="Unix time, in seconds.")
    model: Model
    data: list[DrawnCard]


class Fault(BaseModel):
    """One broken rule."""

    pointer: str = Field(
        description="JSON pointer to the field, /files/<index> for an upload, /<name> in a query."
    )
    code: str = Field(description="The broken rule, for programs.")
    detail: str = Field(description="The broken rule, in words.")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(description="/problems/<name>, where it is explained; programs should decide by this.")
    title: str
    status: int
    detail: str = Field(description="What is wrong with this request and what to do.")
    instance: str = Field(description="The request's X-Request-ID, by which the gateway's log knows it.")
    errors: list[Fault] = Field(description="Every broken rule that was found; often empty.")


class ScoredCard(BaseModel):
    """What the discriminator makes of one upload."""

    index: int
    filename: str | None = Field(description="As the client named it; null for a body that is the card.")
    sha256: str = Field(description="Of the file as it came.")
    format: str = Field(description="As found in the bytes, whatever the name says.")
    width: int = Field(description="Of the upload, upright.")
    height: int
    logit: float = Field(description="The raw critic; only comparable within one model version.")
    probability: float = Field(description="That the card is real, 0 to 1, calibrated at export.")
    percentile: float = Field(description="Share of held-out real cards that score lower, 0 to 100.")
    applied: list[str] = Field(
        description="What was done to the picture before it was judged, of: decoded_smaller, first_picture, "
        "exif_orientation, 16_bit_to_8, alpha_on_white, profile_to_srgb, profile_ignored, colour_to_rgb, "
        "resize."
    )


class UnreadCard(BaseModel):
    """An upload that is no card, in an answer to Prefer: handling=lenient."""

    index: int
    filename: str | None
    error: Problem


class Judgement(BaseModel):
    """The scored uploads, in their order."""

    model_config = example(
        id="scr_92fc37f9deed358c27949c51",
        created=1795555360,
        model={"name": "discriminator", "version": "20261128011101"},
        data=[
            {
                "index": 0,
                "filename": "card.jpg",
                "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "format": "jpeg",
                "width": 300,
                "height": 420,
                "logit": 1.61,
                "probability": 0.83,
                "percentile": 71.2,
                "applied": ["exif_orientation", "resize"],
            }
        ],
    )

    id: str
    created: int = Field(description="Unix time, in seconds.")
    model: Model
    data: list[ScoredCard | UnreadCard]


class Health(BaseModel):
    """The process answers."""

    model_config = example(status="ok")

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """The models answer, and this is their shape."""

    model_config = example(
        status="ready", version="20261128011101", noise_size=64, height=112, width=80, classes=[]
    )

    status: Literal["ready"] = "ready"
    version: str
    noise_size: int
    height: int
    width: int
    classes: Classes


class ModelCard(BaseModel):
    """One of the two models."""

    name: str
    version: str
    noise_size: int = Field(description="Numbers in a row of noise.")
    height: int = Field(description="Of a card, in pixels.")
    width: int
    classes: Classes


class Models(BaseModel):
    """The models, generator first."""

    model_config = example(
        data=[
            {
                "name": name,
                "version": "20261128011101",
                "noise_size": 64,
                "height": 112,
                "width": 80,
                "classes": ["elves", "goblins"],
            }
            for name in MODELS
        ]
    )

    data: list[ModelCard]


class Explanation(BaseModel):
    """What a problem means."""

    model_config = example(
        type="/problems/image-animated",
        title="The image is animated",
        status=422,
        cure="The file holds several frames, and only still images can be scored. Save one frame as an image "
        "of its own and send that.",
    )

    type: str
    title: str
    status: int
    cure: str = Field(description="How it comes about, and what to do.")
