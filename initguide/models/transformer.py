"""A small GPT, with the normalization before, behind or nowhere."""

from typing import Literal

import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Tensor, nn

__all__ = ["GPT", "CausalAttention", "TransformerBlock"]

Norm = Literal["pre", "post", "none"]


class CausalAttention(nn.Module):
    """Attention in which a token sees itself and those before it.

    Parameters
    ----------
    width
        Numbers per token.
    heads
        How many heads share them.
    """

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width is {width}; it must be a multiple of heads, which is {heads}")
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the tokens: (N, tokens, width) to the same."""
        # (N, tokens, 3 · width) to three of (N, heads, tokens, width / heads)
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class TransformerBlock(nn.Module):
    """Attention, then two layers on each token, each added to the stream.

    Parameters
    ----------
    width, heads
        As in `CausalAttention`.
    norm
        ``"pre"`` normalizes what a branch is given, ``"post"`` the sum (as in the first
        transformers), ``"none"`` nothing.
    """

    def __init__(self, width: int, heads: int = 4, norm: Norm = "pre") -> None:
        super().__init__()
        if norm not in ("pre", "post", "none"):
            raise ValueError(f"norm is {norm!r}; it must be 'pre', 'post' or 'none'")
        self.norm = norm
        attention = CausalAttention(width, heads)
        per_token = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.branches = nn.ModuleList([attention, per_token])
        self.norms = nn.ModuleList(
            nn.Identity() if norm == "none" else nn.LayerNorm(width) for _ in self.branches
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add both branches: (N, tokens, width) to the same."""
        for branch, normalize in zip(self.branches, self.norms, strict=True):
            x = normalize(x + branch(x)) if self.norm == "post" else x + branch(normalize(x))
        return x


class GPT(nn.Module):
    """A decoder that says what each token's successor is, say of the grey levels of an image.

    Parameters
    ----------
    width, depth, norm
        Numbers per token, blocks, and where they are normalized; see `TransformerBlock`. Without
        ``"post"``, the end of the stream is normalized before the head.
    levels
        How many tokens there are to choose from; one more marks the start.
    length
        Tokens of a sequence.
    heads
        As in `CausalAttention`.
    tied
        Whether the head is the embedding.

    Examples
    --------
    >>> import torch
    >>> GPT(8, 2)(torch.zeros(5, 49, dtype=torch.long)).shape
    torch.Size([5, 16, 49])
    """

    def __init__(
        self,
        width: int = 32,
        depth: int = 6,
        norm: Norm = "pre",
        *,
        levels: int = 16,
        length: int = 49,
        heads: int = 4,
        tied: bool = True,
    ) -> None:
        super().__init__()
        self.levels = levels
        self.tokens = nn.Embedding(levels + 1, width)
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, norm) for _ in range(depth))
        # Post-norm blocks end with a normalization; any other stream has grown by its end.
        self.last_norm = nn.Identity() if norm == "post" else nn.LayerNorm(width)
        # Of the embedding's shape, start token included, so that tied or not is the only
        # difference.
        self.head = None if tied else nn.Linear(width, levels + 1, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores of each token's successor.

        Parameters
        ----------
        tokens
            (N, length) whole numbers from 0 to ``levels``.

        Returns
        -------
        Tensor
            (N, levels, length), the classes second, as the cross-entropy wants them. The start
            is no answer.
        """
        x = self.stream(tokens)[-1]
        head = self.tokens.weight if self.head is None else self.head.weight
        return F.linear(self.last_norm(x), head)[..., : self.levels].mT

    def stream(self, tokens: Tensor) -> list[Tensor]:
        """Return what runs between the blocks, from the embeddings to the end."""
        x = [self.tokens(tokens) + self.positions.weight]
        for block in self.blocks:
            x.append(block(x[-1]))
        return x
