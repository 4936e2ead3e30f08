"""holofoil-gateway ready: do the models answer, and which?"""

import argparse
import sys

from serving.commands.asking import gateway, gateway_options


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for how long to wait, and what to print."""
    parser.add_argument("--wait", action="store_true", help="wait for the models, at most --timeout")
    parser.add_argument("--json", action="store_true", help="print a JSON object with all details")
    gateway_options(parser)


def run(options: argparse.Namespace) -> None:
    """Tell which models answer, or why none do."""
    with gateway(options) as client:
        models = client.ready(wait=options.wait)
    kinds = f"; kinds: {', '.join(models.classes)}" if models.classes else ""
    words = f"ready: version {models.version}, cards of {models.width}x{models.height}{kinds}"
    sys.stdout.write(f"{models.model_dump_json() if options.json else words}\n")
