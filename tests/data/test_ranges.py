"""The value range of deep files: found from the normal images, one for the set, kept with the detector."""

import warnings

import numpy as np
import pytest
import tifffile
from odd import layout, save, surface
from PIL import Image

from radar_nb.data.images import read_image
from radar_nb.data.listing import find_images
from radar_nb.data.named import load_dataset
from radar_nb.data.ranges import find_range, range_of
from radar_nb.method.detector import RadarDetector
from radar_nb.storage.errors import InputError, Notice

DEPTHS = {  # how a surface of 8-bit values is stored, and what counts as white
    "8 bit in 16": (lambda a: a.astype(np.uint16), ".png", 255),
    "10 bit in 16": (lambda a: a.astype(np.uint16) * 4, ".png", 1023),
    "12 bit in 16": (lambda a: a.astype(np.uint16) * 16, ".png", 4095),
    "16 bit": (lambda a: a.astype(np.uint16) * 257, ".png", 65535),
    "8 bit in 32": (lambda a: Image.fromarray(a.astype(np.int32)), ".tif", 255),
    "float of 8 bit": (lambda a: Image.fromarray(a.astype(np.float32)), ".tif", 255),
    "float to 1": (lambda a: Image.fromarray(a.astype(np.float32) / 255), ".tif", 1)}


@pytest.mark.parametrize("name", DEPTHS)
def test_deep_files_are_read_as_the_same_image_as_8_bit_ones(tmp_path, name):
    store, suffix, white = DEPTHS[name]
    plain = load_dataset(layout(tmp_path / "plain"))
    with pytest.warns(Notice, match=f"0 to {white} is taken as black to white"):
        deep = load_dataset(layout(tmp_path / "deep", image=store, suffix=suffix))
    for one, other in zip(plain.test, deep.test, strict=True):
        assert other.dtype == np.float32 and np.abs(one / 255 - other).max() < 0.005
    assert deep.train.value_range == white


def test_colour_keeps_all_its_bits(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (40, 40, 3)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    with pytest.warns(Notice, match="0 to 4095"):
        white = find_range([tmp_path / "a.tif"], "a")
    assert np.array_equal(np.round(read_image(tmp_path / "a.tif", white) * 4095), values)


def test_a_range_that_is_hardly_used_is_said_and_a_lone_dark_file_refused(tmp_path):
    save(tmp_path / "dark.png", (surface(0) // 8).astype(np.uint16) * 9)
    with pytest.warns(Notice, match="0 to 255"):
        find_range([tmp_path / "dark.png"], "normal images")
    with pytest.raises(InputError, match="dark.png: values from .* no range of normal images is known"):
        list(RadarDetector._batches(_reader(), [tmp_path / "dark.png"]))
    save(tmp_path / "flat.png", np.full((40, 40), 60000, np.uint16))
    with pytest.warns(Notice, match="less than a tenth is used"):
        find_range([tmp_path / "flat.png"], "normal images")


def _reader():
    detector = RadarDetector()
    detector.channels_ = 1
    return detector


def test_the_range_is_kept_with_the_detector_and_used_by_score(tmp_path, released_unet):
    root = layout(tmp_path / "deep", image=lambda a: a.astype(np.uint16) * 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        paths = find_images(root / "train/good")
        detector = RadarDetector(unet=released_unet, calibration_points=0).fit(paths)
        by_dataset = RadarDetector(unet=released_unet, calibration_points=0).fit(load_dataset(root).train)
    assert detector.value_range_ == by_dataset.value_range_ == 4095
    detector.save_pretrained(tmp_path / "model")
    loaded = RadarDetector.from_pretrained(tmp_path / "model")
    assert loaded.value_range_ == 4095
    tested = find_images(root / "test/good")
    eight = [np.asarray(Image.open(path)) // 16 for path in tested]
    arrays = RadarDetector(unet=released_unet, calibration_points=0).fit(
        [(np.asarray(Image.open(path)) // 16).astype(np.uint8) for path in paths])
    assert np.allclose(loaded.features(tested), arrays.features([a.astype(np.uint8) for a in eight]), rtol=0.02)


def test_arrays_and_generators_have_no_range(tmp_path):
    assert range_of([np.zeros((4, 4), np.uint8)]) is None and range_of(iter([tmp_path])) is None


def test_what_is_far_above_the_range_is_another_camera(tmp_path):
    save(tmp_path / "a.png", surface(0).astype(np.uint16) * 257)
    detector = _reader()
    detector.value_range_ = 4095
    with pytest.raises(InputError, match="above 4095, the normal images' range"):
        list(detector._batches([tmp_path / "a.png"]))
