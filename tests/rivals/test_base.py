"""What all rivals share: thresholds at the stated rate, the split, one line for what is wrong."""

import numpy as np
import pytest

from radar_nb.rivals.base import Rival
from radar_nb.storage.errors import InputError


class Brightness(Rival):
    """The simplest method there is: brighter is more anomalous."""

    def _measure(self, images):
        return images, images.mean(axis=(1, 2))


def test_the_threshold_holds_its_rate_on_new_images():
    rng = np.random.default_rng(0)
    normal = lambda count: [np.full((32, 32), level) for level in rng.uniform(0, 1, count)]  # noqa: E731
    for rate in (0.05, 0.2):
        rival = Brightness(contamination=rate).fit(normal(3), calibrate=normal(400))
        assert abs(-rival.offset_ - (1 - rate)) < 0.04
        assert abs((rival.predict(normal(1000)) == -1).mean() - rate) < 0.05


def test_fit_splits_where_no_calibration_images_are_given():
    images = [np.full((32, 32), level) for level in np.linspace(0, 1, 10)]
    fitted = [Brightness(random_state=1).fit(images) for _ in range(2)]
    assert np.array_equal(fitted[0].offset_, fitted[1].offset_)
    with pytest.raises(InputError, match="at least 3"):
        Brightness().fit(images[:2])
    with pytest.raises(InputError, match="contamination=0"):
        Brightness(contamination=0).fit(images)
    with pytest.raises(InputError, match="16 x 16 is smaller"):
        Brightness().fit(images).predict([np.zeros((16, 16))])
    with pytest.raises(InputError, match="grey is expected"):
        Brightness().fit(images).predict([np.zeros((32, 32, 3))])
