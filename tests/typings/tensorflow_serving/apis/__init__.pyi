# Modules that protoc generated, whose messages exist at run time only.
from typing import Any

def __getattr__(name: str) -> Any: ...
