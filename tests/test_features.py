import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import sobel_h, sobel_v

from radar_nb.features import extract_features, gaussian_statistics, global_norm, local_norm, sobel_magnitude, window_norms


def test_sobel_of_a_ramp_is_its_slope():
    ramp = np.tile(np.arange(8.0) * 3, (6, 1))[None, None]
    assert np.allclose(sobel_magnitude(ramp)[0, 1:-1, 1:-1], 3 * 8)  # the Sobel kernel sums to 8 per unit slope


def test_sobel_equals_scikit_image_inside(rng):
    map_ = rng.standard_normal((1, 1, 20, 24))
    expected = 4 * np.hypot(sobel_h(map_[0, 0]), sobel_v(map_[0, 0]))  # scikit-image divides the kernel by 4
    assert np.allclose(sobel_magnitude(map_)[0, 1:-1, 1:-1], expected[1:-1, 1:-1], atol=1e-5)


def test_sobel_of_several_channels_adds_squares(rng):
    map_ = rng.standard_normal((2, 3, 9, 9))
    parts = [sobel_magnitude(map_[:, [channel]]) ** 2 for channel in range(3)]
    assert np.allclose(sobel_magnitude(map_), np.sqrt(sum(parts)), atol=1e-5)


def test_norms_by_hand():
    map_ = np.zeros((1, 4, 4))
    map_[0, 0, 0], map_[0, 0, 1] = 3, 4
    assert global_norm(map_)[0] == pytest.approx(5 / 4)       # sqrt(9 + 16), over sqrt(16 pixels)
    assert local_norm(map_, 2)[0] == pytest.approx(5 / 2)     # both in one window, over sqrt(4 pixels)
    assert local_norm(map_, 1)[0] == pytest.approx(4)
    assert local_norm(map_, 4)[0] == pytest.approx(global_norm(map_)[0])


def test_window_norms_equal_a_slow_loop(rng):
    map_ = rng.standard_normal((2, 11, 13))
    for window in (1, 3, 4, 11):
        slow = [[[np.linalg.norm(m[r:r + window, c:c + window]) / window for c in range(13 - window + 1)]
                 for r in range(11 - window + 1)] for m in map_]
        assert np.allclose(window_norms(map_, window), slow)


def test_a_window_too_large_is_named(rng):
    with pytest.raises(ValueError, match="window=9"):
        local_norm(rng.standard_normal((1, 8, 20)), 9)


def test_features_are_global_then_local(rng):
    map_ = rng.standard_normal((3, 16, 16))
    assert np.array_equal(extract_features(map_, 5), np.stack([global_norm(map_), local_norm(map_, 5)], axis=1))


def test_gaussian_statistics_tell_white_noise_from_structure(rng):
    white = gaussian_statistics(rng.standard_normal((200, 200)) * 3)
    assert white["std"] == pytest.approx(3, rel=0.02)
    assert all(abs(white[name]) < 0.05 for name in ("skewness", "excess_kurtosis", "ks_distance", "correlation"))
    heavy = gaussian_statistics(rng.standard_t(3, (200, 200)))
    assert heavy["excess_kurtosis"] > 1 and heavy["ks_distance"] > 0.03
    assert gaussian_statistics(ndimage.gaussian_filter(rng.standard_normal((200, 200)), 2))["correlation"] > 0.8
