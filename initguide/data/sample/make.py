"""Make the embedded sample of Fashion-MNIST again, from the Debian package dataset-fashion-mnist.

Run it as ``python initguide/data/sample/make.py``. It writes four gzipped IDX files beside it, with
the names that the full data has: 5,000 of the 60,000 training images, which `fashion_mnist` divides
into training and validation, and 1,000 of the 10,000 test images. Each class has the same share.

Which images: within a class, those whose bytes have the smallest SHA-256. That is as good as a
random draw, and gives the same images with any version of any library. An image that occurs twice
is taken at most once. The images keep their order. Running it twice gives the same bytes; another
version of zlib may pack the same content into other bytes, so the sums that `initguide.data` checks
are those of the content.
"""

import gzip
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FULL = Path("/usr/share/datasets/fashion-mnist")
CLASSES = 10

Bytes = NDArray[np.uint8]


def read(name: str, shape: tuple[int, ...]) -> Bytes:
    """Array in one of the package's files; the header is four bytes and four per dimension."""
    packed = (FULL / f"{name}.gz").read_bytes()
    content = np.frombuffer(gzip.decompress(packed), np.uint8, offset=4 + 4 * len(shape))
    return content.reshape(shape)


def write(name: str, array: Bytes) -> None:
    """Write an array as a gzipped IDX file without a time stamp."""
    header = np.array([0x0800 + array.ndim, *array.shape], ">u4").tobytes()
    # No time of day in the file: the same content gives the same bytes.
    packed = gzip.compress(header + array.tobytes(), compresslevel=9, mtime=0)
    Path(__file__).with_name(f"{name}.gz").write_bytes(packed)


def choose(images: Bytes, labels: Bytes, each: int) -> NDArray[np.intp]:
    """Positions, in ascending order, of ``each`` different images of every class."""
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images]
    # Backwards, so that of equal images the first one stays.
    first = {digest: position for position, digest in reversed(list(enumerate(digests)))}
    ranked = [first[digest] for digest in sorted(first)]
    chosen = [
        position
        for label in range(CLASSES)
        for position in [rank for rank in ranked if labels[rank] == label][:each]
    ]
    return np.sort(np.array(chosen, np.intp))


def main() -> None:
    """Choose the images and write the four files."""
    for part, count, each in (("train", 60_000, 500), ("t10k", 10_000, 100)):
        images = read(f"{part}-images-idx3-ubyte", (count, 28, 28))
        labels = read(f"{part}-labels-idx1-ubyte", (count,))
        chosen = choose(images, labels, each)
        write(f"{part}-images-idx3-ubyte", images[chosen])
        write(f"{part}-labels-idx1-ubyte", labels[chosen])


if __name__ == "__main__":
    main()
