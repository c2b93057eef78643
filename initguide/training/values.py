"""Images and labels that no network can be trained on, refused before torch meets them."""

import copy

import torch
from torch import Tensor, nn

from initguide.training.processor import device_of
from initguide.training.run import Dataset, SplitLike

__all__ = ["check_precision", "check_tensors"]


def check_tensors(data: Dataset) -> None:
    """Refuse images and labels that are no plain tensors, naming the split.

    Parameters
    ----------
    data
        Three splits.

    Raises
    ------
    TypeError
        If images or labels are no tensors.
    ValueError
        If they are sparse or without values, images are complex, or labels are not
        int64, one for each image.
    """
    for name in ("train", "valid", "test"):
        _check_split(getattr(data, name), f"data.{name}")


def _check_split(split: SplitLike, name: str) -> None:
    for part in ("images", "labels"):
        value = getattr(split, part)
        what = f"{name}.{part}"
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{what} is of type {type(value).__name__}; it must be a tensor: "
                "torch.as_tensor makes one of an array or a list"
            )
        if value.layout != torch.strided:
            raise ValueError(
                f"{what} is a sparse tensor ({kind_of(value.layout)}); it must be a dense one: "
                "give its to_dense()"
            )
        if value.is_meta:
            raise ValueError(f"{what} is on the device 'meta', without values; give a tensor")
    if split.images.is_complex():
        raise ValueError(
            f"{name}.images is {kind_of(split.images.dtype)}; images are real numbers: give "
            "torch.view_as_real of it, or its abs()"
        )
    if split.labels.dtype != torch.int64:
        raise ValueError(
            f"{name}.labels is {kind_of(split.labels.dtype)}; labels are numbers of classes, "
            "int64: give its long()"
        )
    if len(split.images) != len(split.labels):
        raise ValueError(
            f"{name} has {len(split.images)} images and {len(split.labels)} labels; give one label "
            "for each image"
        )


def check_precision(model: nn.Module, images: Tensor) -> None:
    """Refuse images of another type than a model computes with, if it does not convert them.

    Parameters
    ----------
    model
        The model; it is left as it was.
    images
        (n, …) images.

    Raises
    ------
    ValueError
        If the model cannot take them.
    """
    kinds = {parameter.dtype for parameter in model.parameters()}
    if not kinds or images.dtype in kinds:
        return
    # A model may convert its images itself, or take whole numbers: only a try can tell.
    device = device_of(model)
    with torch.no_grad(), torch.random.fork_rng():
        try:
            copy.deepcopy(model).eval()(images[:2].to(device))
        except RuntimeError as error:
            if "type" not in str(error):
                raise
            wanted = " and ".join(sorted(map(kind_of, kinds)))
            raise ValueError(
                f"the images are {kind_of(images.dtype)}, and the parameters of "
                f"{type(model).__name__} are {wanted}, which do not go together ({error}); convert "
                "one of the two, for instance by images.float()"
            ) from error


def kind_of(value: torch.dtype | torch.layout) -> str:
    """What torch calls it, without torch's own name."""
    return str(value).removeprefix("torch.")
