"""How a processor rounds, in a word: what makes runs on two machines differ in their last digits.

Instruction sets are not enough: a library may choose other kernels on processors of another maker,
and an environment variable can tell it to. So a few products and sums are computed, and a checksum
of their bits stands beside the name of the instructions.
"""

import contextlib
import functools
import hashlib
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from initguide.training import engine
from initguide.training.processor import one_thread

_TARGETS = {4: "NEON", 8: "AVX2", 16: "AVX-512"}  # by numbers of 32 bits in a vector


def rounding_of(device: torch.device, *, compiled: bool = False) -> str:
    """Name and checksum of how a device rounds, such as ``"AVX-512 7e7b"``; of a GPU, its name.

    It takes a hundredth of a second, once in a process.

    Parameters
    ----------
    device
        Where networks are trained.
    compiled
        Whether by compiled steps.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    return _of_processor(compiled, torch.get_float32_matmul_precision())


@functools.cache
def _of_processor(compiled: bool, precision: str) -> str:  # noqa: ARG001  it changes the products
    name = torch.backends.cpu.get_cpu_capability()
    digest = hashlib.sha256(name.encode())
    # torch's modes and threads are somebody else's, and no part of the processor.
    with torch.inference_mode(mode=False), torch.autocast("cpu", enabled=False), one_thread():
        with torch.no_grad():
            samples = _samples()
        for sample in samples:
            digest.update(sample.numpy().tobytes())
        if compiled:
            # Somebody who looks at all networks, by a global hook, has come meanwhile: not for this
            # is a run to be lost.
            with contextlib.suppress(ValueError):
                name, losses = _compiled_sample()
                digest.update(losses.numpy().tobytes())
    name = {"AVX512": "AVX-512"}.get(name, name)
    return f"{name} {digest.hexdigest()[:4]}"


def _samples() -> list[Tensor]:
    """Some of what training consists of: weights, products, losses and sums."""
    samples: list[Tensor] = []
    draw = _drawing()
    for images, inputs, outputs in ((100, 784, 256), (100, 128, 10), (7, 33, 65)):
        x = draw(images, inputs)
        y = x @ draw(outputs, inputs).T
        loss = nn.functional.cross_entropy(y, torch.zeros(images, dtype=torch.int64, device="cpu"))
        samples += [x, y, y.T @ x, loss, torch.tanh(y), y.sum(0)]
    return samples


def _compiled_sample() -> tuple[str, Tensor]:
    """Instructions that the compiled steps use, and the losses of some of them."""
    draw = _drawing()
    layers = [_linear(0.1 * draw(*shape)) for shape in ((65, 33), (10, 65))]
    network = engine.prepare(
        nn.Sequential(layers[0], nn.ReLU(), layers[1]),
        draw(30, 33),
        torch.arange(30, device="cpu") % 10,
        batch_size=10,
        optimizer="adam",
        learning_rate=0.01,
        masks=Generator(device="cpu").manual_seed(0),
    )
    order = torch.arange(30, device="cpu")
    losses = torch.cat([network.steps(order) for _ in range(3)])
    lanes = network.library.initguide_lanes()
    return _TARGETS.get(lanes, f"{lanes} lanes"), losses


def _linear(weight: Tensor) -> nn.Linear:
    """Layer with these weights and biases of 0."""
    # Its __init__ would draw from torch's global generator, from which other threads may draw now;
    # to leave the drawing out, torch imports for more than a second.
    layer = nn.Linear.__new__(nn.Linear)
    nn.Module.__init__(layer)
    layer.out_features, layer.in_features = weight.shape
    layer.weight = nn.Parameter(weight)
    layer.bias = nn.Parameter(torch.zeros(len(weight), dtype=torch.float32, device="cpu"))
    return layer


def _drawing() -> Callable[..., Tensor]:
    """Function that draws a tensor of a shape, the same at each start."""
    generator = Generator(device="cpu").manual_seed(0)
    return lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")
