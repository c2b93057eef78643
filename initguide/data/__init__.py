"""Fashion-MNIST: find it, check it, download it, split it; and the embedded sample."""

from initguide.data.images import (
    CLASSES,
    SOURCES,
    DamagedFileError,
    DataWarning,
    DownloadError,
    FashionMNIST,
    Split,
    fashion_mnist,
)

__all__ = [
    "CLASSES",
    "SOURCES",
    "DamagedFileError",
    "DataWarning",
    "DownloadError",
    "FashionMNIST",
    "Split",
    "fashion_mnist",
]
