"""What a model's own weights predict about its pre-activations, layer by layer.

What is known of each kind of layer or operation stands in a file of the folder ``rules``;
``protocol`` says how a rule is written.
"""

from initguide.prediction.predict import predict_variances
from initguide.prediction.records import Prediction, Predictions

__all__ = ["Prediction", "Predictions", "predict_variances"]
