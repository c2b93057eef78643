"""Networks that the pages share."""

from initguide.models.blocks import Gated, Maxout, Normalized, NormalizedMLP, of_blocks
from initguide.models.convolutional import hourglass, plain_cnn, small_cnn
from initguide.models.copies import with_copies
from initguide.models.faulty import Classifier
from initguide.models.mlp import Net, mlp
from initguide.models.recurrent import Reader
from initguide.models.residual import FixupBlock, ResidualBlock, residual_net
from initguide.models.transformer import GPT, CausalAttention, TransformerBlock

__all__ = [
    "GPT",
    "CausalAttention",
    "Classifier",
    "FixupBlock",
    "Gated",
    "Maxout",
    "Net",
    "Normalized",
    "NormalizedMLP",
    "Reader",
    "ResidualBlock",
    "TransformerBlock",
    "hourglass",
    "mlp",
    "of_blocks",
    "plain_cnn",
    "residual_net",
    "small_cnn",
    "with_copies",
]
