"""What a model's own weights predict about its pre-activations, layer by layer."""

from initguide.prediction.predict import predict_variances
from initguide.prediction.records import Prediction, Predictions

__all__ = ["Prediction", "Predictions", "predict_variances"]
