"""Fingerprint of a data set: of all that its tensors hold, and whether seeds divide it anew."""

import hashlib

import torch

from initguide.data import SplitPerSeed
from initguide.training import Dataset

PARTS = ("train", "valid", "test")


def fingerprint_of_data(data: Dataset) -> str:
    """SHA-256 of all images and labels, and of how they are divided."""
    digest = hashlib.sha256()
    if isinstance(data, SplitPerSeed):  # the parts as they came say where each image lies
        digest.update(b"split per seed")
    for part in PARTS:
        split = getattr(data, part)
        for tensor in (split.images, split.labels):
            digest.update(f"{part} {tensor.dtype} {tuple(tensor.shape)}".encode())
            plain = tensor.detach().cpu().contiguous()
            digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
