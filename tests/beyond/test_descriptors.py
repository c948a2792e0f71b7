"""The descriptors of the feature ablation: finite, of fixed length, and changed by a defect in the map."""

import numpy as np
import pytest

from radar_nb.beyond.descriptors import DESCRIPTORS, DescriptorDetector, describe, norms
from radar_nb.method.detector import RadarDetector
from radar_nb.storage.errors import InputError


@pytest.fixture(scope="module")
def maps():
    noise = np.random.default_rng(0).normal(0, 0.3, (6, 1, 64, 64)).astype(np.float32)
    noise[3:, :, 20:36, 20:36] += np.where(np.arange(16) % 4 < 2, 1.5, -1.5)  # stripes
    return noise


@pytest.mark.parametrize("name", DESCRIPTORS)
def test_a_defect_moves_every_descriptor_beyond_the_spread_of_plain_noise(name, maps):
    features = describe(name, maps)
    assert features.shape[0] == 6 and np.isfinite(features).all()
    plain, broken = features[:3], features[3:]
    assert (np.abs(broken.mean(axis=0) - plain.mean(axis=0)) > 3 * plain.std(axis=0)).any()
    assert np.array_equal(features, describe(name, maps)), "the same each time"


def test_current_is_what_the_detector_takes(released_unet, rng):
    images = [rng.integers(0, 256, (48, 48), np.uint8) for _ in range(3)]
    detector = RadarDetector(unet=released_unet, calibration_points=0).fit(images)
    assert np.allclose(describe("current", detector.noise_maps(images)), detector.features(images))
    assert norms(np.zeros((3, 32, 40))).shape == (2,)


def test_the_detector_decides_on_its_descriptor_and_segments_as_radar(released_unet, rng):
    images = [rng.integers(0, 256, (48, 48), np.uint8) for _ in range(6)]
    radar = RadarDetector(unet=released_unet, calibration_points=0).fit(images)
    detector = DescriptorDetector("SSIM", unet=released_unet)
    detector.calibration_points = 0
    detector.fit(images)
    assert np.allclose(detector.features(images), describe("SSIM", radar.noise_maps(images)))
    assert np.allclose(detector.anomaly_maps(images), radar.anomaly_maps(images))
    with pytest.raises(InputError, match="descriptor='LBP': choose"):
        DescriptorDetector("LBP", unet=released_unet).fit(images)
