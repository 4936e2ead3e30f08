#!/usr/bin/env python3
"""The stand-in for TF Serving under the real one's name, flags, ports and config file.

Like the real one it opens its ports once every configured model is loaded, and takes up newer versions.
"""

# tensorflow-serving-api makes its classes at run time, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

HERE = Path("/opt/stand-in")
sys.path.insert(0, str(HERE))

import grpc  # noqa: E402
from google.protobuf import text_format  # noqa: E402
from tensorflow_serving.config import model_server_config_pb2  # noqa: E402

from tests.fakes.tfserving import StandIn  # noqa: E402

POLL = 1.0  # --file_system_poll_wait_seconds, its default


def main(arguments: list[str]) -> None:
    """Serve until a signal comes."""
    flags = dict(argument.removeprefix("--").split("=", 1) for argument in arguments)
    unknown = flags.keys() - set((HERE / "tfserving_flags.txt").read_text().split())
    if unknown:
        sys.exit(f"unknown argument: {', '.join(sorted(unknown))}")
    bases = [Path(model.base_path) for model in config(Path(flags["model_config_file"]))]
    while missing := [base for base in bases if not any(base.glob("[0-9]*"))]:
        sys.stderr.write(f"No versions of servable found under base path {missing[0]}\n")
        time.sleep(POLL)
    models = StandIn(
        bases[0].parent, tensor_content=flags.get("enable_serialization_as_tensor_content") == "true"
    )
    server = grpc.server(ThreadPoolExecutor(int(flags["grpc_max_threads"])), models.handlers())
    server.add_insecure_port(f"0.0.0.0:{flags['port']}")
    server.start()
    rest = ThreadingHTTPServer(("0.0.0.0", int(flags["rest_api_port"])), status_handler(models))
    Thread(target=rest.serve_forever, daemon=True).start()
    sys.stderr.write("Running the stand-in for TF Serving\n")
    while True:
        time.sleep(POLL)
        models.load()


def config(path: Path) -> list[model_server_config_pb2.ModelConfig]:
    """Read the config file as the real server does."""
    parsed = text_format.Parse(path.read_text(), model_server_config_pb2.ModelServerConfig())
    return list(parsed.model_config_list.config)


def status_handler(models: StandIn) -> type[BaseHTTPRequestHandler]:
    """Answer GET /v1/models/<name> as REST does."""

    class Status(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            servable = models.servables.get(self.path.removeprefix("/v1/models/"))
            self.send_response(200 if servable else 404)
            self.end_headers()
            if servable:
                state = {"version": str(servable.version), "state": "AVAILABLE"}
                self.wfile.write(json.dumps({"model_version_status": [state]}).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Status


if __name__ == "__main__":
    main(sys.argv[1:])
