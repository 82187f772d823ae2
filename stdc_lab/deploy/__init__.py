"""From weights to something that is used elsewhere."""

from stdc_lab.deploy.predict import Predictor, load_predictor, predict_image

__all__ = ["Predictor", "load_predictor", "predict_image"]
