"""Images and labels of kinds that torch's own errors would meet are refused in our words."""

import functools
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from initguide import Net, measure, plots
from initguide.experiments import compare_init_weights, sweep
from initguide.training import train

Tiny = functools.partial(Net, 4, 4)


def _changed(data, part, change, split="train"):
    """The data, with the images or labels of a split changed."""
    old = getattr(data, split)
    new = SimpleNamespace(images=old.images, labels=old.labels)
    setattr(new, part, change(getattr(new, part)))
    return SimpleNamespace(**vars(data) | {split: new})


KINDS = [
    pytest.param(
        "images",
        torch.Tensor.to_sparse,
        r"images is a sparse tensor \(sparse_coo\); .*to_dense",
        marks=pytest.mark.fault(
            "tensors", tried="sparse images", happens="refused, with to_dense as the remedy"
        ),
    ),
    pytest.param(
        "images",
        lambda x: x.to(torch.complex64),
        r"images is complex64; .*view_as_real",
        marks=pytest.mark.fault(
            "tensors", tried="complex images", happens="refused, with view_as_real as the remedy"
        ),
    ),
    pytest.param(
        "images",
        lambda x: x.to("meta"),
        r"images is on the device 'meta'",
        marks=pytest.mark.fault(
            "tensors", tried="images on the device meta", happens="refused, with the device"
        ),
    ),
    pytest.param(
        "labels",
        torch.Tensor.to_sparse,
        r"labels is a sparse tensor \(sparse_coo\); .*to_dense",
        marks=pytest.mark.fault(
            "tensors",
            tried="sparse labels",
            happens="refused before the loss is taken of them, with to_dense as the remedy",
        ),
    ),
    pytest.param(
        "labels",
        torch.Tensor.bfloat16,
        r"labels is bfloat16; .* int64: give its long\(\)",
        marks=pytest.mark.fault(
            "tensors", tried="labels in bfloat16", happens="refused, with long() as the remedy"
        ),
    ),
    pytest.param(
        "labels",
        lambda x: x.to(torch.complex64),
        r"labels is complex64; .* give its long\(\)",
        marks=pytest.mark.fault(
            "tensors", tried="complex labels", happens="refused before their imaginary half is lost"
        ),
    ),
    pytest.param(
        "labels",
        torch.Tensor.int,
        r"labels is int32; .* give its long\(\)",
        marks=pytest.mark.fault(
            "tensors",
            tried="labels in int32",
            happens="refused, with long() as the remedy, rather than by torch's own error",
        ),
    ),
    pytest.param(
        "labels",
        lambda x: x[1:],
        r"has \d+ images and \d+ labels; give one label for each",
        marks=pytest.mark.fault(
            "tensors", tried="a label less than images", happens="refused, with both numbers"
        ),
    ),
]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(("part", "change", "message"), KINDS)
def test_tensors_of_other_kinds(data, split, part, change, message):
    """By one run, a comparison and a sweep alike, naming the split and what to do."""
    other = _changed(data, part, change, split)
    expected = rf"data\.{split}.*{message}"
    with pytest.raises(ValueError, match=expected):
        train(Tiny(), other, epochs=1)
    with pytest.raises(ValueError, match=expected):
        compare_init_weights(["zeros"], other, model=Tiny, epochs=1, seeds=1)
    with pytest.raises(ValueError, match=expected):
        sweep({"scale": [1.0]}, other, model=Tiny, epochs=1, seeds=1)


@pytest.mark.parametrize("part", ["images", "labels"])
@pytest.mark.fault(
    "tensors",
    tried="NumPy arrays as images or labels",
    happens="refused, with torch.as_tensor as the remedy",
)
def test_what_is_no_tensor(data, part):
    """An array is refused with the way to make a tensor of it."""
    with pytest.raises(TypeError, match=rf"{part} is of type ndarray; .* torch\.as_tensor"):
        train(Tiny(), _changed(data, part, torch.Tensor.numpy), epochs=1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.uint8])
@pytest.mark.fault(
    "tensors",
    tried="images in bfloat16, float64 or uint8 for a float32 model",
    happens="refused, with both types and the remedy",
)
def test_images_of_another_precision(data, dtype):
    """Both types are named."""
    name = str(dtype).removeprefix("torch.")
    expected = rf"images are {name}, and the parameters of Net are float32, .*images\.float\(\)"
    with pytest.raises(ValueError, match=expected):
        train(Tiny(), _changed(data, "images", lambda x: x.to(dtype)), epochs=1)


class _Converting(nn.Module):
    """Takes images of any type."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(784, 10)

    def forward(self, images):
        return self.layer(images.float().flatten(1))


def test_a_model_that_converts(data):
    """What worked goes on working, and nothing random is used up by the try."""
    data = _changed(data, "images", torch.Tensor.double)
    for split in ("valid", "test"):
        data = _changed(data, "images", torch.Tensor.double, split)
    model = _Converting()
    before = torch.get_rng_state()
    assert not train(model, data, epochs=1, batch_size=32).diverged
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.fault(
    "tensors",
    tried="sparse targets for the check of a network",
    happens="refused before the loss is taken of them",
)
def test_sparse_targets():
    """They are refused before the loss is taken of them."""
    with pytest.raises(ValueError, match=r"targets is a sparse tensor; .*to_dense"):
        measure(nn.Linear(3, 4), torch.ones(2, 3), targets=torch.tensor([1, 2]).to_sparse())


@pytest.mark.fault(
    "tensors",
    tried="a histogram of a sparse and of a complex tensor",
    happens="the sparse one is drawn with its zeros, the complex one refused",
)
def test_histograms_of_other_kinds():
    """A sparse tensor is drawn with its zeros, a complex one refused; it lost its other half."""
    texts = [
        plots.alt_text(plots.plot_histogram(values, bins=2).figure)
        for values in (torch.eye(3), torch.eye(3).to_sparse())
    ]
    assert texts[0] == texts[1]
    with pytest.raises(ValueError, match=r"complex numbers; .* abs\(\)"):
        plots.plot_histogram(torch.ones(3, dtype=torch.complex64))
