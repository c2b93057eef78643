"""What the data are: tensors, splits, loaders, smaller and changed copies."""

import functools
import gzip
import hashlib
import importlib.util
import pickle
from pathlib import Path

import pytest
import torch
import torchvision
from data_files import raw
from hypothesis import given
from hypothesis import strategies as st

import initguide
from initguide import data
from initguide.data import (
    Split,
    fashion_mnist,
    idx,
    loading,
    places,
)

SAMPLE = Path(data.__file__).with_name("sample")


def test_sample_is_balanced_and_typed(sample):
    """Each part of the sample has its size, as many of each class, and pixels in [0, 1]."""
    for split, count in ((sample.train, 4000), (sample.valid, 1000), (sample.test, 1000)):
        assert len(split) == count
        assert split.images.shape == (count, 1, 28, 28)
        assert split.images.dtype == torch.float32
        assert split.images.is_contiguous()
        assert (split.images.min(), split.images.max()) == (0, 1)
        assert split.labels.shape == (count,)
        assert split.labels.dtype == torch.int64
        assert split.labels.bincount().tolist() == [count // 10] * 10
    assert sample.is_sample
    assert sample.classes == tuple(torchvision.datasets.FashionMNIST.classes)
    assert sample.source == (
        "the embedded sample of Fashion-MNIST: 4,000 training, 1,000 validation and 1,000 test "
        "images, not the full data"
    )


def test_reprs_are_short(sample):
    """No tensor is printed."""
    assert repr(sample) == f"<T{sample.source[1:]}>"
    assert repr(sample.train) == "Split(4,000 images of 1 × 28 × 28)"


def test_sample_is_small_and_has_its_licence():
    """The sample takes at most 3 MB, and names whose work it is."""
    assert sum(path.stat().st_size for path in SAMPLE.glob("*.gz")) <= 3_000_000
    licence = (SAMPLE / "LICENSE").read_text(encoding="utf-8")
    assert "Copyright © 2017 Zalando SE, https://tech.zalando.com" in licence


def test_sample_has_no_image_twice(sample):
    """No image of the sample is in two of its parts."""
    parts = (sample.train, sample.valid, sample.test)
    images = [image.numpy().tobytes() for part in parts for image in part.images]
    assert len(set(images)) == 6000


@pytest.mark.full_data
def test_sample_is_part_of_the_full_data(sample, full):
    """Every image of the sample occurs in the same half of the full data, with its label."""

    def pairs(*splits):
        return {
            (image.numpy().tobytes(), int(label))
            for split in splits
            for image, label in zip(split.images, split.labels, strict=True)
        }

    assert pairs(sample.train, sample.valid) <= pairs(full.train, full.valid)
    assert pairs(sample.test) <= pairs(full.test)


@pytest.mark.full_data
def test_script_makes_the_sample_again(tmp_path, monkeypatch):
    """The sample's script writes the content that the package holds."""
    spec = importlib.util.spec_from_file_location("make", SAMPLE / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    monkeypatch.setattr(make, "__file__", str(tmp_path / "make.py"))
    make.main()
    for file in idx.SAMPLE:
        made = gzip.decompress((tmp_path / f"{file.name}.gz").read_bytes())
        assert hashlib.sha256(made).hexdigest() == file.sha256


@pytest.mark.full_data
def test_full_data(full):
    """The full data has the lesson's split and the recorded mean square of a pixel."""
    assert [len(split) for split in (full.train, full.valid, full.test)] == [48000, 12000, 10000]
    pixels = torch.cat([full.train.images, full.valid.images])
    assert pixels.square().mean().item() == pytest.approx(0.2064, abs=5e-5)
    labels = torch.cat([full.train.labels, full.valid.labels])
    assert labels.bincount().tolist() == [6000] * 10
    assert not full.is_sample
    assert full.source == (
        "Fashion-MNIST from the Debian package (/usr/share/datasets/fashion-mnist): "
        "48,000 training, 12,000 validation and 10,000 test images"
    )


@pytest.mark.full_data
def test_full_data_is_what_torchvision_reads(full, tmp_path):
    """torchvision, which reads these files on its own, finds the same test set."""
    raw(tmp_path).mkdir(parents=True)
    for file in idx.FULL:
        packed = places.DEBIAN_FOLDER / f"{file.name}.gz"
        (raw(tmp_path) / file.name).write_bytes(gzip.decompress(packed.read_bytes()))
    theirs = torchvision.datasets.FashionMNIST(tmp_path, train=False)
    assert torch.equal(full.test.images[:, 0], theirs.data / 255)
    assert torch.equal(full.test.labels, theirs.targets)
    ours = fashion_mnist(tmp_path)
    assert torch.equal(ours.train.images, full.train.images)
    assert torch.equal(ours.valid.labels, full.valid.labels)


def test_top_level_name():
    """The package gives the function at its top level."""
    assert initguide.fashion_mnist is fashion_mnist


def test_split_needs_a_label_for_each_image():
    """A split of unequal lengths is refused with both shapes."""
    with pytest.raises(ValueError, match=r"images has shape \(3, 1, 28, 28\).*shape \(2,\)"):
        Split(torch.zeros(3, 1, 28, 28), torch.zeros(2, dtype=torch.int64))


def test_pickle(sample):
    """Worker processes can be given the data."""
    again = pickle.loads(pickle.dumps(sample))  # noqa: S301  our own bytes
    assert torch.equal(again.test.images, sample.test.images)


@given(
    st.integers(1, 20), st.floats(0.01, 0.99), st.integers(0, 2**63 - 1), st.booleans(), st.data()
)
def test_split_is_a_seeded_partition(each, fraction, seed, balanced, draw):
    """Every image is in one part, the seed decides alone, and balance means within one."""
    labels = torch.tensor(draw.draw(st.permutations([*range(10)] * each)), dtype=torch.uint8)
    count = round(fraction * len(labels))
    split = functools.partial(loading._split, labels, fraction, seed, balanced=balanced)
    if not 0 < count < len(labels):
        with pytest.raises(ValueError, match="images of the"):
            split()
        return
    state = torch.get_rng_state()
    train, valid = split()
    assert torch.equal(torch.get_rng_state(), state)
    assert len(valid) == count
    assert sorted([*train.tolist(), *valid.tolist()]) == list(range(len(labels)))
    torch.manual_seed(1)
    assert torch.equal(split()[0], train)
    if balanced:
        for part in (train, valid):
            counts = labels[part].bincount(minlength=10)
            assert counts.max() - counts.min() <= 1


def test_seed_and_fraction_choose_the_split():
    """Another seed gives another split, another fraction another size; the sample obeys both."""
    first, second = (fashion_mnist(source="sample", seed=seed) for seed in (0, 1))
    assert not torch.equal(first.valid.labels, second.valid.labels) or not torch.equal(
        first.valid.images, second.valid.images
    )
    assert torch.equal(first.test.images, second.test.images)
    half = fashion_mnist(source="sample", valid_fraction=0.5)
    assert (len(half.train), len(half.valid), len(half.test)) == (2500, 2500, 1000)
    assert half.valid.labels.bincount().tolist() == [250] * 10


def test_split_does_not_depend_on_the_source(fill, isolated):
    """Plain files, gzipped files and another place give the same split for the same seed."""
    fill(isolated / "plain")
    fill(isolated / "debian", packed=True)
    plain = fashion_mnist(isolated / "plain", seed=3)
    packed = fashion_mnist(source="debian", seed=3)
    assert plain is not packed
    for part in ("train", "valid", "test"):
        assert torch.equal(getattr(plain, part).images, getattr(packed, part).images)
        assert torch.equal(getattr(plain, part).labels, getattr(packed, part).labels)
    assert (len(plain.train), len(plain.valid), len(plain.test)) == (40, 10, 20)


def test_default_device_does_not_matter():
    """The data is on the CPU, also where another default device is set."""
    with torch.device("meta"):
        fresh = fashion_mnist(source="sample", seed=99)
    assert fresh.train.images.device.type == "cpu"


def test_loaders(sample):
    """The loaders give every image once, and shuffle the training images anew in each epoch."""
    train, valid, test = sample.loaders(batch_size=300)
    images, labels = next(iter(train))
    assert images.shape == (300, 1, 28, 28)
    assert labels.shape == (300,)
    assert [len(loader) for loader in (train, valid, test)] == [14, 4, 4]
    assert torch.equal(torch.cat([labels for _, labels in valid]), sample.valid.labels)
    assert torch.equal(torch.cat([images for images, _ in test]), sample.test.images)
    epochs = [torch.cat([labels for _, labels in train]) for _ in range(2)]
    assert not torch.equal(*epochs)
    assert torch.equal(epochs[0].bincount(), epochs[1].bincount())


def test_loaders_use_their_own_seed(sample):
    """The same seed gives the same batches, and the global random state is left alone."""
    state = torch.get_rng_state()
    orders = []
    for seed in (0, 0, 1):
        for loader in sample.loaders(seed=seed):
            images, _ = next(iter(loader))
        train, _, _ = sample.loaders(seed=seed)
        images, _ = next(iter(train))
        orders.append(images)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])


def test_loaders_refuse_a_bad_batch_size(sample):
    """A batch size below 1, or none, is refused by name."""
    with pytest.raises(ValueError, match="batch_size is 0; it must be a whole number, at least 1"):
        sample.loaders(0)
    with pytest.raises(ValueError, match=r"batch_size is 10\.0; it must be a whole number"):
        sample.loaders(10.0)


def test_subset_keeps_the_first_images(sample):
    """Each part is cut as asked for, shares memory, and the source says so."""
    small = sample.subset(train=50, valid=20)
    assert (len(small.train), len(small.valid)) == (50, 20)
    assert len(small.test) == len(sample.test)
    assert small.train.images.data_ptr() == sample.train.images.data_ptr()
    torch.testing.assert_close(small.valid.labels, sample.valid.labels[:20])
    assert small.source.endswith("of these the first 50 train, 20 valid, 1,000 test")
    assert small.is_sample


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"train": 0}, ValueError, "train is 0; it must be a whole number, at least 1"),
        ({"valid": 1001}, ValueError, "valid is 1,001, but there are only 1,000"),
        ({"test": 1.5}, ValueError, "test is 1.5; it must be a whole number, at least 1"),
    ],
)
def test_subset_refuses(sample, options, error, message):
    """The message names the part."""
    with pytest.raises(error, match=message):
        sample.subset(**options)


def test_transformed_changes_all_parts(sample):
    """Images change, labels do not, and the original is left alone."""
    before = sample.train.images.clone()
    centred = sample.transformed(lambda x: x - 0.5, "centred at 0.5")
    for name in ("train", "valid", "test"):
        old, new = getattr(sample, name), getattr(centred, name)
        torch.testing.assert_close(new.images, old.images - 0.5)
        assert new.labels is old.labels
    assert centred.source == f"{sample.source}; images centred at 0.5"
    torch.testing.assert_close(sample.train.images, before)


def test_transformed_refuses_another_number_of_images(sample):
    """Labels would not fit."""
    with pytest.raises(ValueError, match="one label for each image"):
        sample.transformed(lambda x: x[:5], "cut")


def test_transformed_in_place_reaches_nobody_else(sample):
    """The images are shared by all callers, so a function gets a copy."""
    before = sample.train.images.clone()
    sample.transformed(lambda x: x.sub_(0.5), "centred")
    torch.testing.assert_close(sample.train.images, before)


def test_transformed_refuses_what_is_no_tensor(sample):
    """The message says what came."""
    with pytest.raises(TypeError, match="function returned ndarray; it must return a tensor"):
        sample.transformed(lambda x: x.numpy(), "as numbers")
