"""Fault by fault: how many requests were sent, answered right, refused honestly, and lost.

    python -m tests.benchmarks.serving.fault_table [--seconds 10] [--only FAULT ...]

The gateway and the stand-in for TF Serving are processes of their own; every answer is looked at.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from serving.settings import STARTER_MODELS
from tests.benchmarks.serving import references
from tests.benchmarks.serving.asked import SEEDS, Asked
from tests.benchmarks.serving.clients import Tally, until_right
from tests.benchmarks.serving.faults import (
    FAULTS,
    FROM_THE_START,
    ended_under_load,
    endure,
    without_a_disk,
)
from tests.benchmarks.serving.model_server import ModelServer, gateway

HEAD = (
    f"{'fault':<28} {'sent':>6} {'right':>6} {'refused':>8} {'gone':>6} {'lost':>6} "
    f"{'well in s':>9}  refusals"
)


def main() -> int:
    """Print the table; return 1 if anything was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="each fault lasts")
    parser.add_argument("--only", nargs="*", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--store", type=Path, default=STARTER_MODELS)
    arguments = parser.parse_args()
    tallies = asyncio.run(all_faults(arguments))
    return int(any(tally.lost for tally in tallies))


async def all_faults(arguments: argparse.Namespace) -> list[Tally]:
    """Go through the faults behind the gateway, then those of the gateway itself, with both backends."""
    print(HEAD)
    tallies: list[Tally] = []

    def tell(tally: Tally) -> None:
        print(tally, flush=True)
        for words in dict.fromkeys(tally.lost[:3]):
            print(f"    lost: {words}", flush=True)
        tallies.append(tally)

    server = ModelServer(arguments.store)
    server.start()
    try:
        await server.ready()
        asked = Asked(await references.ask(server.target, SEEDS))
        with gateway(HOLOFOIL_TFSERVING=server.target) as (_, address):
            await until_right(address, asked)
            for fault in arguments.only:
                tell(await endure(fault, server, address, asked, arguments.seconds))
        for name, limits, settings in (
            ("grpc", FROM_THE_START, {"HOLOFOIL_TFSERVING": server.target}),
            # TensorFlow 2.21 cannot be imported without a folder for temporary files.
            ("embedded", "", {"HOLOFOIL_MODELS": str(arguments.store)}),
        ):
            tally = await ended_under_load(asked, arguments.seconds, **settings)
            tally.fault += f", {name}"
            tell(tally)
            tally = await without_a_disk(asked, arguments.seconds, limits, **settings)
            tally.fault += f", {name}"
            tell(tally)
    finally:
        server.kill()
    return tallies


if __name__ == "__main__":
    sys.exit(main())
