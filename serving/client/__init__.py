"""Holofoil's Python client: Holofoil waits, AsyncHolofoil is awaited. Needs holofoil[client]."""

from serving.client.card import Card, ImageFile, JudgedCard
from serving.client.clients import AsyncHolofoil, Holofoil
from serving.client.errors import (
    BadImage,
    BadRequest,
    Busy,
    Failed,
    HolofoilError,
    NotAllowed,
    RateLimited,
    Refused,
    TooLate,
    UnexpectedAnswer,
    Unreachable,
)

__all__ = [
    "AsyncHolofoil",
    "BadImage",
    "BadRequest",
    "Busy",
    "Card",
    "Failed",
    "Holofoil",
    "HolofoilError",
    "ImageFile",
    "JudgedCard",
    "NotAllowed",
    "RateLimited",
    "Refused",
    "TooLate",
    "UnexpectedAnswer",
    "Unreachable",
]
