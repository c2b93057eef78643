"""The residual stream of a transformer and its gradients, at the start."""

import functools
from typing import Literal, NamedTuple

import numpy as np

from initguide.arguments import check_choice, check_number, check_whole
from initguide.theory.activations import Activation, Phi
from initguide.theory.broadcasting import Numbers, as_array
from initguide.theory.quadrature import Array

__all__ = ["StreamMoments", "transformer_moments"]

_FOURFOLD = 4  # the inner layer of the two on each token is so many times as wide as the stream


class StreamMoments(NamedTuple):
    """What runs between the blocks of a transformer, as `transformer_moments` predicts it.

    Attributes
    ----------
    stream
        Mean squares of the stream after the embeddings and after each block: (depth + 1, N, T),
        for each token of each sequence.
    gradients
        Mean squares of a loss's gradients by the stream at the same places, (depth + 1,), relative
        to the last, which is 1.
    """

    stream: Array
    gradients: Array


def transformer_moments(
    tokens: Numbers,
    depth: int,
    *,
    weights: float,
    last: float | None = None,
    embedding: float = 0.02,
    norm: Literal["pre", "post"] = "pre",
    phi: Phi = "gelu",
) -> StreamMoments:
    """Mean squares along the residual stream of a causal transformer before its first step.

    A block adds to the stream what attention gives, and then what two layers on each token give, of
    which the first is four times as wide as the stream (`initguide.models.GPT` is such a network).
    With zero-mean weights, biases of 0 and a wide stream, the T × T matrix K of the mean products
    of the tokens' vectors tells all that matters: its diagonal is the mean squares. Token and
    position embeddings begin it. A normalization divides it by √(Kᵢᵢ Kⱼⱼ). Attention whose logits
    are small averages over all tokens so far, A, and adds w · l · A K Aᵀ, where w and l are
    ``weights`` and ``last``. The two layers add 4 l E[φ(u) φ(v)], for normal u and v of the
    products w K: the mean-field map of Poole et al. (2016), arXiv:1606.05340. Gradients run the
    same way back.

    Left out is that attention may prefer some tokens (it does where ``weights`` is about 1 or
    more), and that layer normalization takes away a vector's mean, one of its d numbers.

    Parameters
    ----------
    tokens
        Whole numbers, (N, T): N sequences of T tokens. Only which of them are equal matters.
    depth
        Blocks, at least 1.
    weights
        Width of the stream times the variance of the weights, above 0: of all layers but the last
        ones of the branches.
    last
        The same of the last layer of each branch, at least 0; ``weights`` if ``None``. GPT-2
        divides it by the number of branches, 2 · depth.
    embedding
        Standard deviation of the embeddings of tokens and of positions, above 0.
    norm
        ``"pre"`` normalizes what a branch is given, ``"post"`` the sum.
    phi
        The activation between the two layers: an elementwise function of a tensor, or the name of
        a common one.

    Returns
    -------
    StreamMoments
        ``stream`` and ``gradients``. The gradients at the end are taken as independent between
        tokens.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    With one token there is nothing to mix, and a ReLU halves the mean square: each block adds
    w l (1 + 2).

    >>> moments = transformer_moments([[0]], 3, weights=0.5, embedding=0.1, phi="relu")
    >>> moments.stream[:, 0, 0].round(4)
    array([0.02, 0.77, 1.52, 2.27])
    """
    same = _same(tokens)
    depth = check_whole("depth", depth, 1)
    check_choice("norm", norm, ["pre", "post"])
    weights = check_number("weights", weights, above=0)
    embedding = check_number("embedding", embedding, above=0)
    last = weights if last is None else check_number("last", last)
    if last < 0:
        raise ValueError(f"last is {last}; it must be a number, at least 0")
    value, slope = _maps(phi, weights)
    average = np.tril(np.ones(same.shape[1:]))
    average /= average.sum(axis=1, keepdims=True)

    k = embedding**2 * (same + np.eye(len(average)))
    stream, roots, slopes = [_diagonal(k)], [], []
    for _ in range(depth):
        for branch in ("attention", "layers"):
            c, root = _normalized(k)
            given = c if norm == "pre" else k
            if branch == "attention":
                k = k + weights * last * average @ given @ average.T
            else:
                k = k + _FOURFOLD * last * np.interp(given, _GRID, value)
                slopes.append(np.interp(given, _GRID, slope))
            if norm == "post":
                k, root = _normalized(k)
            roots.append(root)
        stream.append(_diagonal(k))

    g = np.broadcast_to(np.eye(len(average)), k.shape)
    gradients = [1.0]
    for block in reversed(range(depth)):
        for branch in ("layers", "attention"):
            root = roots.pop()
            if norm == "post":  # the normalization is behind the sum: both ways lead through it
                g = g / root
            if branch == "layers":
                back = weights * last * _FOURFOLD * slopes[block] * g
            else:
                back = weights * last * average.T @ g @ average
            g = g + (back / root if norm == "pre" else back)
        gradients.append(float(_diagonal(g).mean()))
    return StreamMoments(np.array(stream), np.array(gradients[::-1]))


# Embeddings have no negative products, and neither averages nor the maps make any.
_GRID = np.linspace(0.0, 1.0, 51)


def _same(tokens: Numbers) -> Array:
    """Which tokens of a sequence are equal: (N, T, T), 1 or 0."""
    ids = as_array("tokens", tokens)
    if ids.ndim != 2 or not ids.size:
        raise ValueError(f"tokens has shape {ids.shape}; it must be (sequences, tokens), not empty")
    same: Array = np.equal(ids[:, :, None], ids[:, None, :]).astype(np.float64)
    return same


@functools.lru_cache(maxsize=16)  # a page asks for the same two or three again and again
def _maps(phi: Phi, q: float) -> tuple[Array, Array]:
    """E[φ(u) φ(v)] and E[φ'(u) φ'(v)], u and v ~ N(0, q), at the grid's correlations."""
    activation = Activation(phi)
    activation.check_slope()
    value, slope = (
        np.array([activation.pair(q, float(c), prime=prime) for c in _GRID])
        for prime in (False, True)
    )
    return value, slope


def _diagonal(k: Array) -> Array:
    """Return the mean squares, (N, T)."""
    squares: Array = np.einsum("nii->ni", k)
    return squares


def _normalized(k: Array) -> tuple[Array, Array]:
    """Return K with 1 on its diagonal, and what it was divided by: √(Kᵢᵢ Kⱼⱼ)."""
    size = np.sqrt(_diagonal(k))
    root = size[:, :, None] * size[:, None, :]
    return k / root, root
