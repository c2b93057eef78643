"""Fixtures of this folder; what its tests share can be imported."""

import contextlib
import gzip
import http.server
import sys
import threading
from pathlib import Path

import pytest
import torchvision

sys.path.append(str(Path(__file__).parent))

from data_files import Handler


@pytest.fixture
def serve(monkeypatch):
    """Context that serves the files over HTTP, on an address that torchvision is told."""

    @contextlib.contextmanager
    def server(*contents, behaviour=""):
        with contextlib.ExitStack() as stack:
            mirrors = []
            released = threading.Event()
            for files in contents:
                packed = {name: gzip.compress(files[name], compresslevel=1) for name in files}
                attributes = {"files": packed, "behaviour": behaviour, "released": released}
                running = http.server.ThreadingHTTPServer(
                    ("127.0.0.1", 0), type("Bound", (Handler,), attributes)
                )
                stack.callback(running.server_close)  # waits for the requests in progress
                thread = threading.Thread(target=running.serve_forever, args=(0.05,))
                thread.start()
                stack.callback(thread.join)
                stack.callback(running.shutdown)
                stack.callback(released.set)
                mirrors.append(f"http://127.0.0.1:{running.server_port}/")
            monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", mirrors)
            yield mirrors

    return server
