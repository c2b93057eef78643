"""What several tests of this folder use."""

import http.server
import threading
import time

from initguide.data import (
    idx,
)

IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = (file.name for file in idx.FULL)


def raw(root):
    """Where torchvision keeps the files."""
    return root / "FashionMNIST" / "raw"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``files`` gzipped; ``behaviour`` makes it fail."""

    files: dict
    behaviour: str
    released: threading.Event

    def do_GET(self):
        """Answer a request as ``behaviour`` says."""
        name = self.path.strip("/").removesuffix(".gz")
        content = self.files.get(name, b"")
        if self.behaviour == "hang":
            self.released.wait(30)
            return
        if self.behaviour == "404" or name not in self.files:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.behaviour == "stall":
            self.wfile.write(content[:100])
            self.wfile.flush()
            self.released.wait(30)
        elif self.behaviour == "die":
            self.wfile.write(content[: len(content) // 2])
        else:
            step = 1000 if self.behaviour == "slow" else 1 << 20
            for start in range(0, len(content), step):
                self.wfile.write(content[start : start + step])
                if self.behaviour == "slow":
                    time.sleep(0.01)

    def log_message(self, *args):
        """Keep quiet."""
