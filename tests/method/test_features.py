import numpy as np
import pytest
from scipy import ndimage, stats
from scipy.spatial import distance
from skimage.filters import sobel_h, sobel_v

from radar_nb.beyond.maps import fit_covariance, mahalanobis_map, scale_space, standardise_rows_and_columns
from radar_nb.method.features import (
    blur,
    blur_weights,
    extract_features,
    global_norm,
    local_norm,
    sobel_magnitude,
    sobel_weights,
    window_norms,
)
from radar_nb.method.noise_map import gaussian_statistics, patch_normality


def test_sobel_of_a_ramp_is_its_slope():
    ramp = np.tile(np.arange(8.0) * 3, (6, 1))[None, None]
    assert np.allclose(sobel_magnitude(ramp, 3)[0, 1:-1, 1:-1], 3 * 8)  # the Sobel kernel sums to 8 per unit slope


def test_sobel_equals_scikit_image_inside(rng):
    map_ = rng.standard_normal((1, 1, 20, 24))
    expected = 4 * np.hypot(sobel_h(map_[0, 0]), sobel_v(map_[0, 0]))  # scikit-image divides the kernel by 4
    assert np.allclose(sobel_magnitude(map_, 3)[0, 1:-1, 1:-1], expected[1:-1, 1:-1], atol=1e-5)


def test_sobel_of_several_channels_adds_squares(rng):
    map_ = rng.standard_normal((2, 3, 9, 9))
    parts = [sobel_magnitude(map_[:, [channel]], 3) ** 2 for channel in range(3)]
    assert np.allclose(sobel_magnitude(map_, 3), np.sqrt(sum(parts)), atol=1e-5)


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
    assert np.allclose(window_norms(map_, 4, 3), window_norms(map_, 4)[:, [0, 3, 6, 7]][:, :, [0, 3, 6, 9]]), "flush with the edge"


def test_blur_keeps_the_mean_and_a_kernel_of_one_changes_nothing(rng):
    map_ = rng.standard_normal((2, 1, 30, 30)).astype(np.float32)
    assert blur(map_, 1) is map_
    assert blur(map_, 5).dtype == np.float32 and blur(map_, 5).std() < 0.5 * map_.std()
    assert np.allclose(blur(np.full_like(map_, 3.0), 5), 3)
    impulse = np.zeros((1, 1, 9, 9), np.float32)
    impulse[..., 4, 4] = 1
    kernel = blur(impulse, 5)[0, 0]
    assert np.count_nonzero(kernel) == 25 and kernel[4, 3] / kernel[4, 4] == pytest.approx(np.exp(-0.5 / 1.1**2))


@pytest.mark.parametrize("kernel, slope", [(3, 8), (5, 128)])
def test_sobel_of_a_ramp_is_the_sum_of_its_kernel(kernel, slope):
    ramp = np.tile(np.arange(20.0, dtype=np.float32), (20, 1))[None, None]
    assert np.allclose(sobel_magnitude(ramp, kernel)[0, 4:-4, 4:-4], slope)


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_blur_and_sobel_are_those_of_scipy_with_the_stated_weights_up_to_the_mirrored_edge(rng, kernel):
    """One channel at a time, and also where the map is hardly larger than the kernel."""
    def correlate(maps, down, across):
        return ndimage.correlate1d(ndimage.correlate1d(maps, down, axis=-2, mode="reflect"), across, axis=-1, mode="reflect")

    smooth, difference = sobel_weights(kernel)
    for shape in ((2, 3, 31, 20), (1, 1, 4, 9)):
        maps = rng.standard_normal(shape).astype(np.float32)
        weights = blur_weights(kernel)
        assert blur(maps, kernel).dtype == np.float32
        assert np.allclose(blur(maps, kernel), correlate(maps.astype(float), weights, weights), atol=1e-6)
        down, across = correlate(maps.astype(float), difference, smooth), correlate(maps.astype(float), smooth, difference)
        expected = np.sqrt((down**2 + across**2).sum(axis=1))
        assert np.allclose(sobel_magnitude(maps, kernel), expected, rtol=1e-5, atol=1e-5 * expected.max())


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


def test_normality_is_rejected_where_the_noise_is_not_gaussian(rng):
    noise = rng.standard_normal((96, 96))
    noise[32:64, 32:64] = rng.laplace(size=(32, 32)) * 2
    found = {(patch["row"], patch["column"]): patch for patch in patch_normality(noise, spacing=1)}
    assert len(found) == 9 and found[32, 32]["p_value"] < 1e-6 and found[32, 32]["excess_kurtosis"] > 1
    assert sum(patch["p_value"] < 0.001 for patch in found.values()) == 1
    values = noise[:32:2, :32:2].ravel()
    assert patch_normality(noise)[0]["p_value"] == stats.normaltest(values).pvalue


def test_standardising_takes_off_loud_rows_and_columns_and_keeps_a_spot(rng):
    plain = np.abs(rng.standard_normal((80, 90))) + 0.5
    rows, columns = np.exp(rng.normal(0, 1, (80, 1))), np.exp(rng.normal(0, 1, (1, 90)))
    spot = plain.copy()
    spot[40:46, 50:56] *= 6
    loud = standardise_rows_and_columns(spot * ndimage.gaussian_filter1d(rows, 4, axis=0) * ndimage.gaussian_filter1d(columns, 4, axis=1))
    assert loud.dtype == np.float32 and np.median(loud) == pytest.approx(1, abs=0.05)
    assert np.unravel_index(loud.argmax(), loud.shape)[0] in range(39, 47)
    assert loud[40:46, 50:56].mean() > 4 * np.median(loud)


def test_mahalanobis_map_is_the_distance_of_scipy(rng):
    stacks = [scale_space(rng.standard_normal((2, 48, 40))) for _ in range(3)]
    mean, precision = fit_covariance(stacks)
    assert stacks[0].shape == (12, 48, 40) and mean.shape == (12,) and precision.shape == (12, 12)
    map_ = mahalanobis_map(stacks[0], mean, precision)
    assert map_[7, 9] == pytest.approx(distance.mahalanobis(stacks[0][:, 7, 9].astype(float), mean, precision), rel=1e-4)
    inside = np.concatenate([mahalanobis_map(stack, mean, precision)[::3, ::3].ravel() for stack in stacks])
    assert np.mean(inside**2) == pytest.approx(12, rel=0.1), "the mean squared distance is the number of features"


def test_scale_space_sees_a_shift_that_sobel_does_not(rng):
    noise = rng.standard_normal((1, 96, 96)).astype(np.float32)
    shifted = noise + 0.8 * ndimage.gaussian_filter(np.pad(np.ones((32, 32)), 32), 8)[None].astype(np.float32)
    model = fit_covariance([scale_space(noise)])
    inner = (slice(40, 56), slice(40, 56))
    before, after = (mahalanobis_map(scale_space(map_), *model)[inner].mean() for map_ in (noise, shifted))
    assert after > 1.4 * before
    quiet, loud = (sobel_magnitude(map_[None])[0][inner].mean() for map_ in (noise, shifted))
    assert loud == pytest.approx(quiet, rel=0.05)
