"""Fetching the files: once, whole, and by one process at a time."""

import gzip
import http.client
import shutil
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from tqdm import tqdm

from initguide.data import idx
from initguide.data.idx import IdxFile, read_idx
from initguide.data.places import raw_folder
from initguide.data.problems import DamagedFileError, DownloadError

STALL_SECONDS = 15.0  # a download that receives nothing for so long is given up


_failed: dict[Path, str] = {}  # why a download into that folder failed, in this process


def download_once(root: Path) -> None:
    """Download, unless that failed before: offline, only the first call may wait for a time-out."""
    if root in _failed:
        raise DownloadError(_failed[root])
    try:
        fetch(root)
    except DownloadError as error:
        _failed[root] = str(error)
        raise


class _Transfer:
    """What the thread that downloads and the one that watches it tell each other."""

    def __init__(self) -> None:
        self.received = 0  # bytes
        self.error: Exception | None = None
        self.abandoned = False


def fetch(root: Path) -> None:
    """Download the files to ``root`` in torchvision's layout.

    They arrive and are checked in a new folder beside the final one, and are moved one by one when
    all are good. So no half-written file is ever found, and processes that do this at once only
    replace good files by equal ones.
    """
    raw = raw_folder(root)
    try:
        mirrors = _mirrors()
        raw.mkdir(parents=True, exist_ok=True)
        # In the final folder's file system, where to move a file is to rename it.
        with tempfile.TemporaryDirectory(
            prefix=".download-", dir=raw.parent, ignore_cleanup_errors=True
        ) as folder:
            _receive(Path(folder), mirrors)
            for file in idx.FULL:
                (Path(folder) / file.name).replace(raw / file.name)
    except OSError as error:
        raise DownloadError(
            f"Fashion-MNIST could not be downloaded to {raw}: {error}. "
            'Check the connection and call fashion_mnist(source="download"), or install the Debian '
            "or Ubuntu package dataset-fashion-mnist, or name a folder that has the files with "
            "root= or INITGUIDE_DATA."
        ) from error


def _mirrors() -> list[str]:
    """Addresses that torchvision knows, each a prefix of a file's name."""
    try:
        # Late: it takes a second, and most calls need no download.
        from torchvision import datasets  # noqa: PLC0415  see above

        return list(datasets.FashionMNIST.mirrors)
    except Exception as error:  # a torchvision that does not fit torch fails in its own ways
        raise DownloadError(
            f"torchvision, which knows the addresses, cannot be imported ({error})"
        ) from error


def _receive(folder: Path, mirrors: list[str]) -> None:
    """Fill the folder, and give up when nothing arrives for ``STALL_SECONDS``."""
    transfer = _Transfer()
    # A thread, because nothing else bounds the look-up of a host's name; a daemon, so that the
    # interpreter can end while that hangs.
    thread = threading.Thread(target=_receive_files, args=(folder, mirrors, transfer), daemon=True)
    thread.start()
    seen, since = 0, time.monotonic()
    try:
        # disable=None: only on a terminal. The total is that of the four packed files.
        with tqdm(
            desc="Fashion-MNIST", total=30_878_645, unit="B", unit_scale=True, disable=None
        ) as bar:
            while thread.is_alive():
                thread.join(0.05)
                received = transfer.received
                if received > seen:
                    bar.update(received - seen)
                    seen, since = received, time.monotonic()
                elif time.monotonic() - since > STALL_SECONDS:
                    raise DownloadError(
                        f"nothing arrived from {', '.join(mirrors)} for {STALL_SECONDS:g} seconds"
                    )
    finally:
        transfer.abandoned = True
    if transfer.error is not None:
        raise DownloadError(str(transfer.error)) from transfer.error


def _receive_files(folder: Path, mirrors: list[str], transfer: _Transfer) -> None:
    try:
        for file in idx.FULL:
            _receive_file(file, folder, mirrors, transfer)
    except Exception as error:  # noqa: BLE001  the thread that waits raises it
        transfer.error = error


def _receive_file(file: IdxFile, folder: Path, mirrors: list[str], transfer: _Transfer) -> None:
    """Download, check and unpack one file from the first mirror that gives it whole."""
    problems = []
    for mirror in mirrors:
        url = f"{mirror}{file.name}.gz"
        packed = folder / f"{file.name}.gz"
        try:
            # The file comes first: once the folder is gone, no further connection is opened.
            with (
                packed.open("wb") as target,
                # The time-out ends the thread some time after it was given up.
                urllib.request.urlopen(url, timeout=2 * STALL_SECONDS) as response,  # noqa: S310  torchvision's own addresses
            ):
                # read1 gives what has arrived; read would wait for all of it, and look as if
                # stalled.
                while chunk := response.read1(1 << 16):
                    if transfer.abandoned:
                        return
                    target.write(chunk)
                    transfer.received += len(chunk)
            read_idx(packed, file, "")
            with gzip.open(packed) as content, (folder / file.name).open("wb") as plain:
                shutil.copyfileobj(content, plain, 1 << 20)
        except (OSError, http.client.HTTPException, DamagedFileError) as error:
            problems.append(f"{url}: {error}".strip(" ."))
        else:
            packed.unlink()
            return
    raise DownloadError("; ".join(problems))
