"""A folder as a web server shows it, on a free port of this machine."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Quiet(SimpleHTTPRequestHandler):
    """Serve files, print nothing, and forbid caching, so that each page pays for all it needs."""

    def end_headers(self) -> None:
        """Add the header against caching."""
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A server that does not complain when a browser hangs up."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_arguments: object) -> None:
        """Say nothing: a page that is left while an image loads is no fault."""


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder while the block runs, and give its address, which ends in a slash."""
    with Server(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
