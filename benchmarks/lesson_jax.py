"""The lesson's training in JAX, as fast as JAX does it: a peer for `lesson_speed.py` to compare.

The same work as `initguide.compare_init_weights` does: 784-256-128-10 with ReLU and dropout, Adam,
mini-batches of 100 images in an order of each run's own, and accuracy on the validation and test
images without dropout. All of it is one function of a run, a `scan` over its steps, which is
compiled for all runs at once by `vmap` and `jit`.
"""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import initguide

WIDTHS = (784, 256, 128, 10)
BATCH_SIZE = 100
DROPPED = round(0.2 * 2**16)  # a unit is dropped where 16 random bits are below

Layers = list[tuple[Array, Array]]


def start(key: Array) -> Layers:
    """Weights and biases as PyTorch draws them: U(-1/√n, 1/√n), with n inputs."""
    layers = []
    for number, (inputs, outputs) in enumerate(pairwise(WIDTHS)):
        for_weights, for_biases = jax.random.split(jax.random.fold_in(key, number))
        bound = inputs**-0.5
        weights = jax.random.uniform(for_weights, (inputs, outputs), minval=-bound, maxval=bound)
        biases = jax.random.uniform(for_biases, (outputs,), minval=-bound, maxval=bound)
        layers.append((weights, biases))
    return layers


def scores(layers: Layers, x: Array, key: Array | None) -> Array:
    """Scores of the classes; with dropout if there is a key."""
    for number, (weights, biases) in enumerate(layers):
        x = x @ weights + biases
        if number < len(layers) - 1:
            x = jax.nn.relu(x)
            if key is not None:
                # Sixteen bits a unit: twice as fast as `jax.random.bernoulli`, which takes 32.
                bits = jax.random.bits(jax.random.fold_in(key, number), x.shape, jnp.uint16)
                x = x * jnp.where(bits < DROPPED, 0, 2**16 / (2**16 - DROPPED))
    return x


def loss(layers: Layers, x: Array, labels: Array, key: Array) -> Array:
    """Cross-entropy of a mini-batch."""
    log_probabilities = jax.nn.log_softmax(scores(layers, x, key))
    return -jnp.take_along_axis(log_probabilities, labels[:, None], axis=1).mean()


def adam(state: tuple[Layers, Layers, Layers], gradient: Layers, step: Array) -> Any:
    """One step of Adam at PyTorch's settings: rate 0.001, β 0.9 and 0.999, ε 1e-8."""
    layers, first, second = state
    number = step + 1.0
    rate, size = 1e-3 / (1 - 0.9**number), 1 / jnp.sqrt(1 - 0.999**number)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
    layers = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v) * size + 1e-8), layers, first, second
    )
    return layers, first, second


def trainer(data: initguide.data.FashionMNIST) -> Callable[[Array, Array], dict[str, Array]]:
    """Make the function of a run: key and order of the images (steps, 100) -> what came out."""
    train, valid, test = (
        (
            jnp.asarray(split.images.flatten(1).numpy()),
            jnp.asarray(split.labels.int().numpy()),
        )
        for split in (data.train, data.valid, data.test)
    )

    def accuracy(layers: Layers, images: Array, labels: Array) -> Array:
        return (scores(layers, images, None).argmax(axis=1) == labels).mean()

    def run(key: Array, order: Array) -> dict[str, Array]:
        for_weights, for_masks = jax.random.split(key)

        def one_step(state: Any, batch: tuple[Array, Array]) -> tuple[Any, Array]:
            places, step = batch
            # The places are known to be in range: without that promise, JAX checks each.
            x, labels = (part.at[places].get(mode="promise_in_bounds") for part in train)
            mask = jax.random.fold_in(for_masks, step)
            value, gradient = jax.value_and_grad(loss)(state[0], x, labels, mask)
            return adam(state, gradient, step), value

        layers = start(for_weights)
        zeros = jax.tree.map(jnp.zeros_like, layers)
        steps = (order, jnp.arange(len(order)))
        (layers, _, _), losses = jax.lax.scan(one_step, (layers, zeros, zeros), steps)
        return {
            "losses": losses,
            "valid": accuracy(layers, *valid),
            "test": accuracy(layers, *test),
        }

    return run


def train(data: initguide.data.FashionMNIST, runs: int, epochs: int) -> dict[str, float]:
    """Train so many networks at once; compiling is timed by itself.

    Where JAX was told that this processor is several devices, they share the runs.
    """
    count = len(data.train)

    def order(run: int) -> np.ndarray:
        """Draw it by NumPy, which is faster at it than JAX."""
        generator = np.random.default_rng(run)
        rows = np.concatenate([generator.permutation(count) for _ in range(epochs)])
        return rows.astype(np.int32).reshape(-1, BATCH_SIZE)

    run = jax.vmap(trainer(data))
    keys = jax.random.split(jax.random.key(0), runs)
    began = time.perf_counter()
    orders = jnp.asarray(np.stack([order(number) for number in range(runs)]))
    drawing = time.perf_counter() - began
    if jax.device_count() > 1:
        mesh = jax.make_mesh((jax.device_count(),), ("runs",))
        shares = jax.sharding.PartitionSpec("runs")
        place = jax.sharding.NamedSharding(mesh, shares)
        keys, orders = jax.device_put((keys, orders), place)
        run = jax.shard_map(run, mesh=mesh, in_specs=shares, out_specs=shares)
    began = time.perf_counter()
    compiled = jax.jit(run).lower(keys, orders).compile()
    compiling = time.perf_counter() - began
    began = time.perf_counter()
    result = jax.block_until_ready(compiled(keys, orders))
    seconds = time.perf_counter() - began + drawing
    return {
        "seconds": seconds,
        "compiling": compiling,
        "accuracy": float(result["test"].min()),
    }
