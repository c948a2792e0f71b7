"""From features to a decision: the paper's Isolation Forest, and what may take its place (notebook 10)."""

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.covariance import EllipticEnvelope
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from radar_nb.method import forest

DECISIONS = (*forest.DECISIONS, "mahalanobis", "one_class_svm", "local_norm")


class LastFeature(OutlierMixin, BaseEstimator):
    """The last feature alone, the larger the more anomalous: a control chart. Beyond the paper.

    It ranks images that lie beyond every calibration image. An image that is more quiet than usual is no
    anomaly, and a broad difference in light, which moves the global norm, does not decide.

    Args:
        contamination: share of the points of `fit` that may be called anomalous.
    """

    def __init__(self, contamination: float = 0.05):
        self.contamination = contamination

    def fit(self, X: np.ndarray, y: object = None) -> "LastFeature":
        """Set the control limit on the features `(N, K)` of normal images."""
        self.offset_ = float(np.quantile(self.score_samples(X), self.contamination))
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """`(N, K)` to `(N,)`: higher is more normal."""
        return -np.asarray(X)[:, -1]

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """`score_samples` minus the limit: negative is anomalous."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: np.ndarray) -> np.ndarray:
        """+1 normal, -1 anomalous."""
        return np.where(self.decision_function(X) < 0, -1, 1)


def outlier_model(decision: str, contamination: float, seed: int, points: int) -> OutlierMixin:
    """An unfitted model of `DECISIONS`, see `radar_nb.method.forest.one_class_model`."""
    if decision == "mahalanobis":
        return EllipticEnvelope(contamination=contamination, support_fraction=1.0, random_state=seed)
    if decision == "one_class_svm":
        return make_pipeline(StandardScaler(), OneClassSVM(nu=contamination))
    if decision == "local_norm":
        return LastFeature(contamination)
    return forest.one_class_model(decision, contamination, seed, points)
