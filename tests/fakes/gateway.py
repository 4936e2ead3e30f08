"""The gateway as a process with models that take a while: python -m tests.fakes.gateway SECONDS."""

import asyncio
import sys
import warnings

from serving.app import create_app
from serving.server import Server, configure, listen
from serving.settings import Settings
from tests.fakes.backend import FakeBackend


class SlowBackend(FakeBackend):
    """Takes its time for every call."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    async def generate(self, noise, labels=None, *, deadline=None):
        await asyncio.sleep(self.seconds)
        return await super().generate(noise, labels, deadline=deadline)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="PIL")  # as the gateway's own main does
    settings = Settings()
    app = create_app(settings, SlowBackend(float(sys.argv[1])))
    Server(configure(app, settings), app.state.life, settings.drain_delay).run(sockets=[listen(settings)])
