"""What HTTP carries: the JSON of requests and answers, as OpenAPI describes it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from serving import cards, noise
from serving.contract import MAX_ROWS


class GenerateBody(BaseModel):
    """What to draw. No body at all means every default."""

    model_config = ConfigDict(extra="forbid", strict=True)

    n: int = Field(default=1, ge=1, le=MAX_ROWS, description="How many cards.")
    seed: int | None = Field(
        default=None,
        ge=0,
        lt=noise.SEEDS,
        description="Card i is drawn from (seed + i) mod 2**32, so each can be drawn again alone. "
        "null lets the gateway draw one and name it.",
    )
    label: str | None = Field(
        default=None,
        description="The kind of all cards, by a name that /readyz lists under classes. null has each card's "
        "kind follow from its seed. For models that know no kinds only null is allowed.",
    )
    truncation: float = Field(
        default=1.0,
        gt=0,
        le=2,
        allow_inf_nan=False,
        description="Scale of the noise: below 1 more typical cards, above 1 wilder ones.",
    )
    output_format: cards.Format = Field(
        default="png", description="Of the images; Accept: image/webp says the same."
    )
    output_compression: int | None = Field(
        default=None, ge=1, le=100, description="Quality of jpeg and webp, 90 unless given; not for png."
    )


class Model(BaseModel):
    """Which model answered."""

    name: str
    version: str


class DrawnCard(BaseModel):
    """One generated card."""

    index: int
    seed: int = Field(description="Draws this card again, with n = 1 and the same label and truncation.")
    label: str | None = Field(description="The kind of this card; null from models that know no kinds.")
    media_type: str
    width: int
    height: int
    b64_json: str = Field(description="The image file in base64.")


class Drawing(BaseModel):
    """The generated cards."""

    id: str
    created: int = Field(description="Unix time, in seconds.")
    model: Model
    data: list[DrawnCard]


class ScoredCard(BaseModel):
    """What the discriminator makes of one upload."""

    index: int
    filename: str
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


class Judgement(BaseModel):
    """The scored uploads, in their order."""

    id: str
    created: int = Field(description="Unix time, in seconds.")
    model: Model
    data: list[ScoredCard]


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """The models answer, and this is their shape."""

    status: Literal["ready"] = "ready"
    version: str
    noise_size: int
    height: int
    width: int
    classes: list[str] = Field(
        description="Names of the kinds of card, each a label for /generate; often none."
    )
