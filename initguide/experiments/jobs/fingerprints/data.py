"""Fingerprint of a data set: of all that its tensors hold."""

import hashlib

import torch

from initguide.training import Dataset

PARTS = ("train", "valid", "test")


def fingerprint_of_data(data: Dataset) -> str:
    """SHA-256 of all images and labels."""
    digest = hashlib.sha256()
    for part in PARTS:
        split = getattr(data, part)
        for tensor in (split.images, split.labels):
            digest.update(f"{part} {tensor.dtype} {tuple(tensor.shape)}".encode())
            plain = tensor.detach().cpu().contiguous()
            digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
