"""The gateway's command line: serves, or runs a command, and imports no more than that needs."""

import argparse
import sys
from collections.abc import Sequence

from serving import shell


class Parser(argparse.ArgumentParser):
    """Explains the settings too, which have no options: the environment is their one way."""

    def format_help(self) -> str:
        """Return the commands, then each setting."""
        from serving.settings import PREFIX, Settings

        lines = [
            f"  {PREFIX}{name.upper()}: {field.description} Default: {field.default}"
            for name, field in Settings.model_fields.items()
        ]
        return super().format_help() + "\n".join(["\nsettings (environment variables):", *lines, ""])


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve, or run the command that is named; return the exit code."""
    parser = Parser(
        prog="holofoil-gateway",
        description="Serve cards over HTTP, or ask a running gateway.",
    )
    shell.add_commands(parser)
    options = parser.parse_args(arguments)
    if options.command:
        return shell.run(options.command, options)
    from serving.server import serve  # the whole gateway, for which no command should wait

    return serve()


if __name__ == "__main__":
    sys.exit(main())
