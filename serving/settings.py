"""Everything an operator can set, read once from HOLOFOIL_* when the gateway is made."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MEBIBYTE = 1024 * 1024
STARTER_MODELS = Path(__file__).parent / "models"


class Settings(BaseSettings):
    """One gateway's settings; each field is the environment variable HOLOFOIL_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="HOLOFOIL_", extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(8000, ge=0, le=65535)
    """Port to listen on; 0 picks a free one."""
    tfserving: str | None = None
    """host:port of TF Serving's gRPC; unset means the models run in this process."""
    models: Path = STARTER_MODELS
    """Model store that the embedded backend loads: generator/<version>/ and discriminator/<version>/."""
    deadline: float = Field(10.0, gt=0)
    """Seconds a request may wait for the models."""
    max_body: int = Field(32 * MEBIBYTE, gt=0)
    """Largest request body, in bytes."""
    max_file: int = Field(8 * MEBIBYTE, gt=0)
    """Largest uploaded file, in bytes."""
    body_timeout: float = Field(15.0, gt=0)
    """Seconds a client may take to send its body."""
