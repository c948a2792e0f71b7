"""Masks as annotation tools write them: read rightly, or refused in one line that names the file."""

import numpy as np
import pytest
from odd import defective, layout, save
from PIL import Image

from radar_nb.data.masks import read_mask
from radar_nb.data.named import load_dataset
from radar_nb.storage.errors import InputError

MASK = defective(0)[1]


def palette(index, black=0):
    colours = np.random.default_rng(0).integers(40, 256, (256, 3))
    colours[black] = 0
    image = Image.fromarray(np.where(MASK, index, black).astype(np.uint8), "P")
    image.putpalette(colours.astype(np.uint8).ravel().tolist())
    return image


def two_classes(first, second):
    middle = np.flatnonzero(MASK.any(axis=1)).mean()
    return np.where(MASK, np.where(np.arange(64)[:, None] < middle, first, second), 0).astype(np.uint8)


def layer(alpha, colour=(255, 255, 255)):
    return Image.fromarray(np.dstack([np.full((*MASK.shape, 3), colour, np.uint8), alpha]).astype(np.uint8))


RIGHT = {
    "0 and 255": MASK.astype(np.uint8) * 255, "0 and 1": MASK.astype(np.uint8), "bool": MASK,
    "0 and 100": MASK.astype(np.uint8) * 100, "0 and 128": MASK.astype(np.uint8) * 128,
    **{f"class {number}": MASK.astype(np.uint8) * number for number in (2, 3, 7, 15, 32)},
    "classes 1 and 2": two_classes(1, 2), "classes 1 and 3": two_classes(1, 3),
    "16 bit, 0 and 1": MASK.astype(np.uint16), "16 bit, 0 and 255": MASK.astype(np.uint16) * 255,
    "16 bit, full": MASK.astype(np.uint16) * 65535, "32 bit": Image.fromarray(MASK.astype(np.int32) * 3),
    "float": Image.fromarray(MASK.astype(np.float32)),
    **{f"palette {index}": palette(index) for index in (1, 8, 255)},
    "palette without colours": Image.fromarray(MASK.astype(np.uint8), "P"),
    "red on black": np.dstack([MASK * 255, MASK * 0, MASK * 0]).astype(np.uint8),
    "blue on black": np.dstack([MASK * 0, MASK * 0, MASK * 255]).astype(np.uint8),
    "white brush on a transparent layer": layer(MASK * 255),
    "black brush on a transparent layer": layer(MASK * 255, (0, 0, 0)),
    "half transparent brush": layer(MASK * 128), "opaque layer": Image.fromarray(
        np.dstack([*[MASK * 255] * 3, np.full(MASK.shape, 255)]).astype(np.uint8)),
    "grey with alpha": Image.merge("LA", [Image.fromarray(MASK.astype(np.uint8) * 255)] * 2)}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_painted_is_the_defect(tmp_path, name):
    path = tmp_path / ("mask.tif" if name in ("float", "32 bit") else "mask.png")
    save(path, RIGHT[name])
    assert np.array_equal(read_mask(path, defective=True), MASK)


def test_a_soft_edge_and_a_lossy_one_are_cut_in_the_middle(tmp_path):
    image = Image.fromarray(MASK.astype(np.uint8) * 255)
    save(tmp_path / "soft.png", image.resize((128, 128), Image.Resampling.BILINEAR))
    save(tmp_path / "lossy.jpg", image, quality=90)
    soft = read_mask(tmp_path / "soft.png", defective=True)
    assert abs(soft.mean() - MASK.mean()) < 0.1 * MASK.mean()
    assert (read_mask(tmp_path / "lossy.jpg", defective=True) != MASK).mean() < 0.002


REFUSED = {
    "inverted": (~MASK, "looks inverted"), "empty": (np.zeros_like(MASK), "marks nothing"),
    "full": (np.ones_like(MASK), "marks every pixel"),
    "a photograph": (np.random.default_rng(0).integers(0, 256, MASK.shape, np.uint8), "shades"),
    "a transparent layer without paint": (layer(MASK * 0 + 0, (0, 0, 0)), "marks nothing"),
    "negative": (Image.fromarray(-MASK.astype(np.float32)), "values from -1")}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_mean_two_things_is_refused(tmp_path, name):
    image, said = REFUSED[name]
    path = tmp_path / ("m.tif" if name == "negative" else "m.png")
    save(path, image)
    with pytest.raises(InputError, match=said) as error:
        read_mask(path, defective=True)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_sizes_are_compared_before_anything_is_shrunk(tmp_path):
    root = layout(tmp_path / "parts", bad=1, side=700)
    path = root / "ground_truth/crack/000_mask.png"
    Image.open(path).resize((600, 600)).save(path)
    data = load_dataset(root)
    with pytest.raises(InputError, match="000_mask.png: 600 x 600, but its image is 700 x 700"):
        data.check()
