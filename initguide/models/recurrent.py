"""Recurrent networks that read an image row by row."""

from typing import Any, Literal

import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Tensor, nn

__all__ = ["Reader"]


class Reader(nn.Module):
    """Read the rows of an image one by one, wait, and answer from the last state.

    Waiting makes it a task of memory: the longer, the more of what was read has to survive.

    Parameters
    ----------
    kind
        ``"RNN"``, ``"LSTM"`` or ``"GRU"``.
    inputs
        Pixels of a row.
    units
        Numbers of the state.
    wait
        Blank rows after the last one.
    **settings
        For the recurrent layer, such as ``nonlinearity="relu"``.

    Examples
    --------
    >>> import torch
    >>> Reader("LSTM")(torch.zeros(5, 1, 14, 14)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        kind: Literal["RNN", "LSTM", "GRU"],
        *,
        inputs: int = 14,
        units: int = 48,
        wait: int = 26,
        **settings: Any,
    ) -> None:
        super().__init__()
        if kind not in ("RNN", "LSTM", "GRU"):
            raise ValueError(f"kind is {kind!r}; it must be 'RNN', 'LSTM' or 'GRU'")
        self.wait = wait
        self.rnn = getattr(nn, kind)(inputs, units, batch_first=True, **settings)
        self.head = nn.Linear(units, 10)

    def rows(self, images: Tensor) -> Tensor:
        """Rows of images, and blank ones: (N, 1, rows, inputs) to (N, rows + wait, inputs)."""
        # `pad` counts axes from the last: nothing beside the pixels of a row, blank rows behind the
        # rows.
        return F.pad(images.flatten(1, 2), (0, 0, 0, self.wait))

    def forward(self, images: Tensor) -> Tensor:
        """Ten scores per image: (N, 1, rows, inputs) to (N, 10)."""
        return self.head(self.rnn(self.rows(images))[0][:, -1])  # type: ignore[no-any-return]
