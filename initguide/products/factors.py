"""The factors of a product, with the roles of their axes, as `torch.einsum` would name them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

__all__ = ["READERS", "Factors"]


class Factors(NamedTuple):
    """Both factors of a product, with a name for each axis, and those of the result."""

    left: Tensor
    right: Tensor
    left_axes: Sequence[object]
    right_axes: Sequence[object]
    result_axes: Sequence[object]


def _matmul(args: Sequence[Any], kwargs: Mapping[str, Any], _: Tensor) -> Factors:
    given = [*args, *kwargs.values()]
    left, right = given[:2]
    rows, columns = left.ndim > 1, right.ndim > 1
    left_axes: list[object] = [("batch", i) for i in range(left.ndim - 2, 0, -1)]
    left_axes += ["rows", "sum"] if rows else ["sum"]
    right_axes: list[object] = [("batch", i) for i in range(right.ndim - 2, 0, -1)]
    right_axes += ["sum", "columns"] if columns else ["sum"]
    batch = max(left.ndim - 2, right.ndim - 2, 0)
    result: list[object] = [("batch", i) for i in range(batch, 0, -1)]
    result += ["rows"] * rows + ["columns"] * columns
    return _unbroadcast(Factors(left, right, left_axes, right_axes, result))


def _unbroadcast(factors: Factors) -> Factors:
    """Axes of size 1 that were broadcast belong to the other factor alone."""

    def own(tensor: Tensor, axes: Sequence[object]) -> list[object]:
        return [
            ("one", id(tensor), i)
            if size == 1 and isinstance(axis, tuple) and axis[0] == "batch"
            else axis
            for i, (size, axis) in enumerate(zip(tensor.shape, axes, strict=True))
        ]

    return factors._replace(
        left_axes=own(factors.left, factors.left_axes),
        right_axes=own(factors.right, factors.right_axes),
    )


def _reversed(args: Sequence[Any], kwargs: Mapping[str, Any], result: Tensor) -> Factors:
    return _matmul(args[1::-1], kwargs, result)


def _added(args: Sequence[Any], _: Mapping[str, Any], result: Tensor) -> Factors | None:
    """`addmm` and its like, whose first argument is added."""
    return _matmul(args[1:], {}, result) if len(args) >= 3 else None


def _linear(args: Sequence[Any], kwargs: Mapping[str, Any], result: Tensor) -> Factors:
    given = dict(zip(("input", "weight", "bias"), args, strict=False)) | dict(kwargs)
    return _matmul((given["input"], given["weight"].t()), {}, result)


def _einsum(args: Sequence[Any], _: Mapping[str, Any], result: Tensor) -> Factors | None:
    equation, factors = args[0], list(args[1:])
    if len(factors) == 1 and isinstance(factors[0], list | tuple):
        factors = list(factors[0])
    if not isinstance(equation, str) or len(factors) != 2:
        return None
    terms, arrow, out = equation.replace(" ", "").partition("->")
    letters = terms.split(",")

    def spelt(term: str, ndim: int) -> list[object]:
        before, dots, after = term.partition("...")
        more = ndim - len(before) - len(after) if dots else 0
        return [*before, *[("batch", i) for i in range(more, 0, -1)], *after]

    left, right = (spelt(t, f.ndim) for t, f in zip(letters, factors, strict=True))
    if not arrow:  # the letters that come once, in the order of the alphabet
        once = [c for c in sorted(set(terms) - {",", "."}) if terms.count(c) == 1]
        out = ("..." if "..." in terms else "") + "".join(once)
    return _unbroadcast(Factors(factors[0], factors[1], left, right, spelt(out, result.ndim)))


def _tensordot(args: Sequence[Any], kwargs: Mapping[str, Any], _: Tensor) -> Factors:
    left, right = args[:2]
    dims = kwargs.get("dims", args[2] if len(args) > 2 else 2)
    if isinstance(dims, int):
        pairs = [(left.ndim - dims + i, i) for i in range(dims)]
    else:
        first, second = ([d] if isinstance(d, int) else list(d) for d in dims)
        pairs = [(a % left.ndim, b % right.ndim) for a, b in zip(first, second, strict=True)]
    left_axes: list[object] = [("left", i) for i in range(left.ndim)]
    right_axes: list[object] = [("right", i) for i in range(right.ndim)]
    for a, b in pairs:
        right_axes[b] = left_axes[a]
    summed = [left_axes[a] for a, _ in pairs]
    result = [axis for axis in (*left_axes, *right_axes) if axis not in summed]
    return Factors(left, right, left_axes, right_axes, result)


def _convolution(args: Sequence[Any], kwargs: Mapping[str, Any], result: Tensor) -> Factors:
    given = dict(zip(("input", "weight"), args, strict=False)) | dict(kwargs)
    image, weight = given["input"], given["weight"]
    places: list[object] = [("place", i) for i in range(weight.ndim - 2)]
    kernel: list[object] = [("kernel", i) for i in range(weight.ndim - 2)]
    batch: list[object] = ["batch"] * (result.ndim - len(places) - 1)
    return Factors(
        image,
        weight,
        [*batch, "ins", *places],
        ["outs", "ins", *kernel],
        [*batch, "outs", *places],
    )


_Reader = Callable[[Sequence[Any], Mapping[str, Any], Tensor], Factors | None]
READERS: dict[str, _Reader] = {
    **dict.fromkeys(("matmul", "__matmul__", "mm", "bmm", "mv", "dot", "inner_product"), _matmul),
    "__rmatmul__": _reversed,
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), _added),
    "linear": _linear,
    "einsum": _einsum,
    "tensordot": _tensordot,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
}
