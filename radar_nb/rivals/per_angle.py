"""One model for each bead angle: how the paper's rivals B&A and C&B were used (slide 12)."""

from collections.abc import Iterable, Iterator

import numpy as np
from scipy import ndimage
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from radar_nb.data.images import load_images
from radar_nb.method.base import ImageDetector
from radar_nb.rivals.base import Rival, as_float
from radar_nb.rivals.statistical import grey
from radar_nb.storage.errors import InputError


def dominant_angle(image: np.ndarray) -> float:
    """Direction of an image's stripes in degrees, in [0, 180), counted from the rows, counter-clockwise.

    The gradient is largest across the stripes (structure tensor). Every place has the same weight, however
    strong its gradients, so that one bright defect does not turn the whole image. A stripe that goes up to
    the right has an angle between 0 and 90.

    Args:
        image: `(H, W)` or `(H, W, 3)`, uint8 or float.
    """
    down, right = np.gradient(grey(as_float(image)[None])[0].astype(float))
    products = np.stack([2 * right * down, right**2 - down**2, right**2 + down**2])
    products = ndimage.gaussian_filter(products, (0, 4, 4))
    sine, cosine = (products[:2] / (products[2] + 1e-12)).sum(axis=(1, 2))  # of twice the angle across
    return float((90 - np.degrees(np.arctan2(sine, cosine)) / 2) % 180)  # rows count downwards: clockwise


class PerAngle(ImageDetector):
    """A rival fitted once for each bead angle; an image goes to the model whose angle is nearest to its own.

    The angle is measured on the image (`dominant_angle`), in training as in testing. Scores and maps of the
    models become comparable by each model's calibration images: a score is counted from its model's
    threshold, in standard deviations of the calibration scores, a map in its model's pixel threshold.

    Args:
        rival: what is fitted for each angle; it is cloned.
        angles: the beads' directions, degrees. One without training images is left out.

    Attributes:
        rivals_: for each angle its fitted rival.
    """

    def __init__(self, rival: Rival, angles: tuple[float, ...] = (45, 135)):
        self.rival = rival
        self.angles = angles

    def fit(self, images: Iterable, y: object = None, calibrate: Iterable | None = None) -> "PerAngle":
        """As `Rival.fit`, on the images of each angle.

        Raises:
            InputError: as `Rival.fit`; for an angle with too few images, its name comes first.
        """
        if not self.angles:
            raise InputError("angles=(): give at least one, in degrees")
        images = list(load_images(images, self.smallest_side))
        if not images:
            raise InputError("images=[]: no images to learn from; give at least one")
        self.channels_ = 1 if images[0].ndim == 2 else 3
        nearest = [nearest_angle(image, self.angles) for image in images]
        known = [angle for angle in self.angles if angle in nearest]
        if calibrate is not None:
            calibrate = list(load_images(calibrate, self.smallest_side, self.channels_))
        self.rivals_ = {}
        for angle in known:
            mine = [image for image, its in zip(images, nearest, strict=True) if its == angle]
            held_out = calibrate and [image for image in calibrate if nearest_angle(image, known) == angle]
            try:
                self.rivals_[angle] = clone(self.rival).fit(mine, calibrate=held_out)
            except InputError as error:
                raise InputError(f"at {angle} degrees: {error}") from None
        self.offset_, self.pixel_threshold_ = 0.0, 1.0
        return self

    def inspect(self, images: Iterable) -> Iterator[dict]:
        """As `Rival.inspect`; besides, `angle` is that of the model that was asked."""
        check_is_fitted(self, "rivals_")
        for image in load_images(images, self.smallest_side, self.channels_):
            angle = nearest_angle(image, tuple(self.rivals_))
            rival = self.rivals_[angle]
            (finding,) = rival.inspect([image])
            spread = max(float(rival.calibration_scores_.std()), 1e-12)
            yield finding | {"angle": angle, "score": (finding["score"] - rival.offset_) / spread,
                             "anomaly_map": finding["anomaly_map"] / np.float32(rival.pixel_threshold_)}


def nearest_angle(image: np.ndarray, angles: Iterable[float]) -> float:
    """That of `angles` nearest to the image's dominant one; 0 and 180 degrees are the same."""
    own = dominant_angle(image)
    return min(angles, key=lambda angle: abs((own - angle + 90) % 180 - 90))
