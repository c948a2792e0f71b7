"""One model for each angle: the angle that is measured, who is asked, scores of two models together."""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from radar_nb.data.extrusion import ANGLES, DEFECTS, extrusion_image
from radar_nb.data.printed import LEVELS, render
from radar_nb.rivals.base import Rival
from radar_nb.rivals.forest_clustering import ForestClustering
from radar_nb.rivals.per_angle import PerAngle, dominant_angle, nearest_angle
from radar_nb.storage.errors import InputError


def stripes(angle, rng, side=64, defect=False, period=9):
    """Noisy stripes along `angle` degrees, counted counter-clockwise from the rows."""
    rows, columns = np.mgrid[:side, :side]
    theta = np.deg2rad(angle)
    across = columns * np.sin(theta) + rows * np.cos(theta)
    image = 0.5 + 0.3 * np.sin(2 * np.pi * across / period + rng.uniform(0, 6))
    image += 0.03 * rng.standard_normal(image.shape)
    if defect:
        image[24:40, 24:40] = ndimage.rotate(image, 90)[24:40, 24:40]
    return np.clip(image, 0, 1).astype(np.float32)


@pytest.mark.parametrize("angle", [0, 20, 45, 90, 110, 135, 170])
def test_the_angle_of_stripes_is_found(angle, rng):
    for image in (stripes(angle, rng), (255 * stripes(angle, rng)).astype(np.uint8),
                  np.repeat(stripes(angle, rng)[..., None], 3, axis=2)):
        assert abs((dominant_angle(image) - angle + 90) % 180 - 90) < 2


def test_the_angle_of_printed_beads_is_found():
    image, _ = render(LEVELS["standard"], np.random.default_rng(0))
    assert abs(dominant_angle(image) - (180 - LEVELS["standard"].raster_angle)) < 6


@pytest.mark.parametrize("defect", [None, *DEFECTS])
@pytest.mark.parametrize("angle", ANGLES)
def test_the_angle_of_extruded_beads_is_found_whatever_the_defect(angle, defect):
    for seed in range(6):
        image, _ = extrusion_image(np.random.default_rng(seed), angle, defect)
        assert abs(dominant_angle(image) - angle) < 4


def test_the_nearest_angle_goes_round_the_circle(rng):
    assert nearest_angle(stripes(175, rng), (5, 90)) == 5 and nearest_angle(stripes(60, rng), (45, 135)) == 45


class Level(Rival):
    """Brighter is more anomalous; what it has seen is kept."""

    def _learn(self, images):
        self.seen_ = images

    def _measure(self, images):
        return images, images.mean(axis=(1, 2))


def test_each_image_goes_to_the_model_of_its_angle(rng):
    train = [stripes(angle, rng) for angle in (45, 135) * 4]
    detector = PerAngle(Level()).fit(train, calibrate=train)
    assert {angle: len(rival.seen_) for angle, rival in detector.rivals_.items()} == {45: 4, 135: 4}
    test = train[1], train[0], train[3]
    assert [finding["angle"] for finding in detector.inspect(test)] == [135, 45, 135]
    assert set(PerAngle(Level()).fit(train[::2]).rivals_) == {45}, "an angle without images is left out"


def test_a_score_is_counted_from_its_models_threshold(rng):
    train = [stripes(45, rng) for _ in range(20)] + [stripes(135, rng) * 0.5 for _ in range(20)]
    detector = PerAngle(Level(contamination=0.2)).fit(train, calibrate=train)
    for image in train[::7]:
        mine = detector.rivals_[nearest_angle(image, (45, 135))]
        (finding,) = detector.inspect([image])
        expected = mine.decision_function([image])[0] / mine.calibration_scores_.std()
        assert finding["score"] == pytest.approx(expected)
        assert finding["normal"] == (mine.predict([image])[0] == 1) == (detector.predict([image])[0] == 1)
        assert np.array_equal(finding["mask"], mine.segment([image])[0])
        assert np.mean((finding["anomaly_map"] > detector.pixel_threshold_) != finding["mask"]) < 0.01
    assert np.mean(detector.predict(train) == -1) == pytest.approx(0.2, abs=0.06)


def test_one_model_for_each_angle_finds_what_is_turned(rng):
    normal = [stripes(angle, rng) for angle in (45, 135) * 16]
    test = [stripes(angle, rng, defect=defect) for defect in (False, True) for angle in (45, 135) * 5]
    detector = clone(PerAngle(ForestClustering(trees=4, samples=4000, clusters=2)))
    detector.fit(normal[:16], calibrate=normal[16:])
    assert detector.get_params()["rival__trees"] == 4
    assert roc_auc_score([0] * 10 + [1] * 10, -detector.score_samples(test)) > 0.9
    assert np.array_equal(detector.score_samples(test[:3]), clone(detector).fit(
        normal[:16], calibrate=normal[16:]).score_samples(test[:3]))


def test_what_is_wrong_is_one_line(rng):
    train = [stripes(angle, rng) for angle in (45, 45, 45, 45, 135)]
    with pytest.raises(InputError, match="at 135 degrees: images: 1 found"):
        PerAngle(Level()).fit(train)
    with pytest.raises(InputError, match="at 135 degrees: calibrate: 0 images"):
        PerAngle(Level()).fit(train, calibrate=train[:4])
    with pytest.raises(InputError, match=r"angles=\(\)"):
        PerAngle(Level(), angles=()).fit(train)
    with pytest.raises(InputError, match=r"images=\[\]"):
        PerAngle(Level()).fit([])
