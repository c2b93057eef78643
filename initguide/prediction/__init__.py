"""What a model's own weights predict about its pre-activations, layer by layer."""

from initguide.prediction.predict import Prediction, Predictions, predict_variances

__all__ = ["Prediction", "Predictions", "predict_variances"]
