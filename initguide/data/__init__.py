"""Fashion-MNIST: find it, check it, download it, split it, lay it out; and the embedded sample."""

from initguide.data.layout import LaidOut, lay_out
from initguide.data.loading import fashion_mnist
from initguide.data.places import SOURCES
from initguide.data.problems import DamagedFileError, DataWarning, DownloadError
from initguide.data.sequences import Sequences, Tokens, as_sequences
from initguide.data.splits import SplitPerSeed
from initguide.data.tensors import CLASSES, FashionMNIST, Split

__all__ = [
    "CLASSES",
    "SOURCES",
    "DamagedFileError",
    "DataWarning",
    "DownloadError",
    "FashionMNIST",
    "LaidOut",
    "Sequences",
    "Split",
    "SplitPerSeed",
    "Tokens",
    "as_sequences",
    "fashion_mnist",
    "lay_out",
]
