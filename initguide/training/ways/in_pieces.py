"""One network after the other, whose large mini-batches go through it piece by piece.

The gradients of the pieces add up to that of the whole, and the memory that a step takes is that of
a piece: of the activations, which the backward pass needs, only a piece's are kept. A piece also
stays in the processor's caches. Two steps on 24,000 images of a network of three convolutions with
16 channels took 7.1 GB and 59 s of one core alone, and 0.3 GB and 24 s in pieces; a fully connected
network gains memory, and no time.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  torch's own idiom
from torch import Tensor, nn

from initguide.randomness import seeded
from initguide.training.generators import uses_global_generator
from initguide.training.processor import device_of
from initguide.training.quick import quick_layers
from initguide.training.settings import Settings
from initguide.training.trial import random_copies, tried
from initguide.training.ways.alone import Alone
from initguide.training.ways.way import offered

PIECE = 256  # images; see above
MANY = 4 * PIECE  # images of a mini-batch from which on there is something to gain
TRIED = 4  # images whose outputs must not depend on which others there are


@offered
class InPieces(Alone):
    """Models that see a mini-batch in pieces, and make one step from all of them."""

    name = "in pieces"

    @classmethod
    def accepts(cls, models: Sequence[nn.Module], settings: Settings) -> bool:
        """Models whose outputs for an image do not depend on the others, nor on chance."""
        return settings.batch_size <= PIECE or all(
            _treats_images_apart(model, settings.data.train.images) for model in models
        )

    @classmethod
    def prefers(cls, models: Sequence[nn.Module], settings: Settings) -> bool:
        """Large mini-batches of models on a CPU, as a GPU is best used by all of them at once."""
        images = min(settings.batch_size, len(settings.data.train.labels))
        return images >= MANY and all(device_of(model).type == "cpu" for model in models)

    def steps(self, orders: Sequence[Tensor]) -> Tensor:
        """Do some mini-batches."""
        whole = super().steps  # what is no larger than a piece
        return torch.cat(
            [self._step(order) if order.shape[1] > PIECE else whole([order]) for order in orders]
        )

    def _step(self, order: Tensor) -> Tensor:
        """Do one large mini-batch: (1, 1) its loss."""
        [task] = self.tasks
        self.optimizer.drop_gradients()
        loss = 0.0
        with quick_layers([task.model], self.feed.masks):
            for piece in order.split(PIECE, dim=1):
                inputs, labels = self.feed.take(piece)
                summed = F.cross_entropy(task.model(inputs), labels, reduction="sum")
                share = summed / order.shape[1]  # the shares of all pieces add up to the mean
                share.backward()  # as do their gradients
                loss += share.item()
        self.optimizer.step()
        return torch.tensor([[loss]])


def _treats_images_apart(model: nn.Module, images: Tensor) -> bool:
    """Whether a model gives each image what it would give it in any other mini-batch.

    Batch normalization does not, and dropout's masks would be drawn piece by piece. Found out by
    trying, on a copy in training mode with random parameters.
    """
    example = images[:TRIED].to(device_of(model))
    if any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules()):
        return False
    if uses_global_generator(model, example) or any(True for _ in model.buffers()):
        return False  # buffers may change with each call
    try:
        [copied] = random_copies([model])
        with seeded(0):
            whole = tried([copied], [0], example).outputs
            each = [tried([copied], [0], one).outputs for one in example.split(1)]
    except Exception:  # noqa: BLE001  whatever it is, alone it will show by itself
        return False
    apart = torch.cat(each)
    return whole.shape == apart.shape and torch.allclose(
        whole, apart, rtol=1e-4, atol=1e-5 * float(whole.abs().max())
    )
