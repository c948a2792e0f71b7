"""The stand-in for the paper's images: as the slides describe them, exact masks, independent draws."""

import numpy as np
import pytest
from scipy import ndimage

from radar_nb.data.dataset import Sizes
from radar_nb.data.extrusion import ANGLES, DEFECTS, SIDE, extrusion_image
from radar_nb.data.extrusion_layer import SPACING
from radar_nb.data.named import load_dataset

KEPT = (42.413, 37.133, 1043)  # of one small image: mean grey of a quarter, of the whole, pixels of the mask


def layer(index, angle, defect=None):
    return extrusion_image(np.random.default_rng([7, index]), angle, defect)


def test_the_papers_numbers_of_images():
    """Slide 12: 41 + 40 normal to learn from, 21 + 19 normal and 22 + 22 defective to test."""
    data = load_dataset("extrusion")
    assert len(data.train) + len(data.calibrate) == 81 and len(data.calibrate) == 27
    assert data.kinds.count("good") == 40 and len(data.kinds) == 84
    assert [data.kinds.count(defect) for defect in DEFECTS] == [24, 12, 8]
    few = load_dataset("extrusion", Sizes(train=6, calibrate=4, test_good=5, test_per_defect=2))
    assert (len(few.train), len(few.calibrate), len(few.test)) == (6, 4, 11)
    assert len(load_dataset("extrusion", Sizes(test_good=3, test_per_defect=1)).test) == 6
    assert few.test[0].shape == (SIDE, SIDE) and few.test[0].dtype == np.uint8


@pytest.mark.parametrize("angle", ANGLES)
def test_beads_run_at_their_angle_eleven_to_twelve_pixels_apart(angle):
    for index in range(3):
        image = layer(index, angle)[0].astype(float)
        flat = np.minimum(image, np.quantile(image, 0.9))  # without the glints
        faded = (flat - flat.mean()) * np.hanning(SIDE)[:, None] * np.hanning(SIDE)
        power = np.abs(np.fft.fftshift(np.fft.fft2(faded)))
        rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE // 2
        power[np.abs(np.hypot(rows, columns) - 20) > 10] = 0  # neither light nor overtones
        row, column = np.unravel_index(power.argmax(), power.shape)
        down, right = row - SIDE // 2, column - SIDE // 2
        across = np.rad2deg(np.arctan2(-down, right)) % 180  # the direction in which beads follow each other
        assert abs(across - (angle + 90) % 180) < 5
        assert SPACING[0] - 0.5 < SIDE / np.hypot(down, right) < SPACING[1] + 0.5


def test_light_and_glints_differ_as_the_slides_show():
    """Median grey 22 to 41 in the photographs; glints at 45 degrees, hardly any at 135."""
    for angle, low, high in ((45, 70, 245), (135, 26, 80)):
        images = [layer(index, angle)[0] for index in range(12)]
        medians = [np.median(image) for image in images]
        bright = [np.quantile(image, 0.99) for image in images]
        assert 20 <= min(medians) < 28 and 34 < max(medians) <= 44
        assert low <= min(bright) and max(bright) <= high


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_changes_its_mask_alone(angle, defect):
    for index in range(6):
        (image, mask), (twin, nothing) = layer(index, angle, defect), layer(index, angle)
        assert not nothing.any() and 20 <= mask.sum() < 0.2 * mask.size
        assert np.array_equal(image[~mask], twin[~mask])
        assert np.abs(image[mask].astype(float) - twin[mask]).mean() > 1, index


def test_ladders_reach_from_a_fifth_of_the_side_to_the_diagonal():
    lengths = []
    for index in range(24):
        rows, columns = np.nonzero(layer(index, 135, "ladder")[1])
        lengths.append(np.hypot(np.ptp(rows), np.ptp(columns)) / SIDE)
    assert min(lengths) < 0.45 and max(lengths) > 0.9


def test_an_image_depends_on_its_own_number_alone():
    """Neither the number of images of its own part nor of another part changes an image."""
    few = load_dataset("extrusion", Sizes(train=3, calibrate=2, test_good=2, test_per_defect=2))
    many = load_dataset("extrusion", Sizes(train=9, calibrate=5, test_good=5, test_per_defect=4))
    assert np.array_equal(few.train[1], many.train[1]) and np.array_equal(few.calibrate[1], many.calibrate[1])
    assert np.array_equal(few.test[0], many.test[0])
    for defect in DEFECTS:
        one, other = few.kinds.index(defect), many.kinds.index(defect)
        assert np.array_equal(few.test[one], many.test[other])
        assert np.array_equal(few.masks[one], many.masks[other])


def test_parts_seeds_and_draws_differ():
    size = Sizes(train=2, calibrate=2, test_good=2, test_per_defect=2)
    draws = ("extrusion", 0), ("extrusion", 0), ("extrusion", 1), ("extrusion_choose", 0)
    data, again, other, choose = (load_dataset(name, size, seed) for name, seed in draws)
    assert np.array_equal(data.train[0], again.train[0])
    different = data.train[0], data.calibrate[0], data.test[0], other.train[0], choose.train[0]
    assert len({image.tobytes() for image in different}) == len(different)


def test_brightness_alone_does_not_tell_defects():
    data = load_dataset("extrusion", Sizes(train=2, calibrate=2, test_good=20, test_per_defect=8))
    means = np.array([image.mean() for image in data.test])
    wins = (means[data.labels][:, None] > means[~data.labels][None]).mean()
    assert 0.3 < wins < 0.7


def test_a_small_image_keeps_its_look():
    """Rounded, so that another processor's last digit does not matter."""
    image, mask = extrusion_image(np.random.default_rng([1, 2]), 45, "ladder", side=64)
    assert image.shape == mask.shape == (64, 64)
    assert [image[:32, :32].mean(), image.mean(), mask.sum()] == pytest.approx(KEPT, abs=0.01)


def test_a_wrong_angle_or_defect_is_named():
    for arguments in ((90, None), (45, "crack")):
        with pytest.raises(ValueError, match="choose one of"):
            extrusion_image(np.random.default_rng(0), *arguments)


def test_masks_are_one_place_not_dust():
    """A ladder is one band; dots are a few dots, not hundreds of pixels apart."""
    for index in range(6):
        assert ndimage.label(layer(index, 45, "ladder")[1])[1] == 1
