"""Everything an operator can set, read once from HOLOFOIL_* when the gateway is made."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MEBIBYTE = 1024 * 1024
STARTER_MODELS = Path(__file__).parent / "models"


class Settings(BaseSettings):
    """One gateway's settings; each field is the environment variable HOLOFOIL_<FIELD>, empty as if unset."""

    model_config = SettingsConfigDict(
        env_prefix="HOLOFOIL_",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 picks a free one."""
    tfserving: str | None = None
    """host:port of TF Serving's gRPC; unset means the models run in this process."""
    models: Path = STARTER_MODELS
    """Model store that the embedded backend loads: generator/<version>/ and discriminator/<version>/."""
    deadline: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    """Seconds a request may wait for the models."""
    max_body: int = Field(default=32 * MEBIBYTE, gt=0)
    """Largest request body, in bytes."""
    max_file: int = Field(default=8 * MEBIBYTE, gt=0)
    """Largest uploaded file, in bytes."""
    max_bodies: int = Field(default=128 * MEBIBYTE, gt=0)
    """Bytes of all request bodies together that are held at once; beyond, clients are told to come again."""
    body_timeout: float = Field(default=15.0, gt=0, allow_inf_nan=False)
    """Seconds a client may take to send its body."""

    @field_validator("tfserving")
    @classmethod
    def not_the_rest_address(cls, target: str | None) -> str | None:
        """Catch the commonest slip: the URL of TF Serving's REST port."""
        if target and target.startswith(("http:", "https:")):
            raise ValueError("give host:port of gRPC, such as tfserving:8500, not a URL")
        return target
