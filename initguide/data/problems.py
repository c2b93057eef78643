"""What can go wrong with the data, as warnings and errors."""


class DataWarning(UserWarning):
    """`fashion_mnist` skipped a damaged file, or used the embedded sample in place of the data."""


class DamagedFileError(ValueError):
    """A file of Fashion-MNIST does not hold what it must; the message says what was found."""


class DownloadError(OSError):
    """Fashion-MNIST could not be downloaded; the message says why and what else to do."""
