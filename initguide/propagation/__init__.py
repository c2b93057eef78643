"""What a batch does on its way through any module, measured."""

from initguide.propagation.activations import FLAT
from initguide.propagation.comparing import Comparison
from initguide.propagation.curvature import sharpness
from initguide.propagation.histograms import Histogram
from initguide.propagation.losses import Loss, loss_of
from initguide.propagation.measurement import Measurement
from initguide.propagation.own_losses import answers_of, own_loss
from initguide.propagation.parameters import ParameterRecord
from initguide.propagation.passes import measure
from initguide.propagation.records import VALUES, Record
from initguide.propagation.strangers import Stranger
from initguide.propagation.through_time import gradients_through_time
from initguide.propagation.units import SAME

__all__ = [
    "FLAT",
    "SAME",
    "VALUES",
    "Comparison",
    "Histogram",
    "Loss",
    "Measurement",
    "ParameterRecord",
    "Record",
    "Stranger",
    "answers_of",
    "gradients_through_time",
    "loss_of",
    "measure",
    "own_loss",
    "sharpness",
]
