from dataclasses import replace

import numpy as np
import pytest
from small import SMALL

from radar_nb.data.images import write_image
from radar_nb.data.named import NAMED, load_dataset
from radar_nb.data.printed import DEFECTS, LEVELS, make_image
from radar_nb.data.texture import PASTED_DEFECTS, paste_defect
from radar_nb.storage.errors import InputError


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("defect", [None, *DEFECTS])
def test_printed_gives_the_same_bytes_for_the_same_seed(level, defect):
    (image, mask), (again, mask_again) = (make_image(level, 5, "test", 3, defect, size=64) for _ in range(2))
    assert image.dtype == np.uint8 and image.tobytes() == again.tobytes() and np.array_equal(mask, mask_again)
    assert mask.any() == (defect is not None) and mask.mean() < 0.5
    others = [make_image(level, 6, "test", 3, defect, 64), make_image(level, 5, "train", 3, defect, 64), make_image(level, 5, "test", 4, defect, 64)]
    assert all(other.tobytes() != image.tobytes() for other, _ in others)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_changes_the_picture_inside_its_mask(defect):
    """Sharp edges and contrast inside the mask: the defect must be there, not only its mask."""
    from radar_nb.data.printed import Surface, render
    quiet = Surface(grain=0, shot_noise=0, read_noise=0)
    differences = []
    for seed in range(8):
        normal, _ = render(quiet, np.random.default_rng(seed))
        image, mask = render(quiet, np.random.default_rng(seed), defect)
        # The same surface but for the defect and the lamp, which is drawn after it: compare up to brightness.
        normal, image = (x - np.polyval(np.polyfit(x[~mask], x[~mask], 0), 0) for x in (normal.astype(float), image.astype(float)))
        difference = np.abs(image - normal)
        differences.append(difference[mask].mean() / difference[~mask].mean())
    assert np.median(differences) > 1.5


def test_printed_names_wrong_arguments():
    with pytest.raises(ValueError, match="defect='dent'"):
        make_image("standard", 0, "test", 0, "dent")
    with pytest.raises(ValueError, match="level='odd'"):
        make_image("odd", 0, "test", 0)


@pytest.mark.parametrize("name", NAMED)
def test_named_sets_have_what_they_say(name):
    data = load_dataset(name, SMALL)
    assert (len(data.train), len(data.calibrate)) == (SMALL.train, SMALL.calibrate)
    assert data.labels.sum() == len(data.test) - SMALL.test_good and data.channels == 1
    for index in (0, len(data.test) - 1):
        assert data.test[index].shape == data.masks[index].shape
        assert data.masks[index].any() == data.labels[index]


def test_texture_splits_share_no_pixel():
    """Every crop of a split lies in that split's rows of the photograph."""
    from skimage import data as photographs
    sizes = replace(SMALL, train=12, calibrate=12)
    data = load_dataset("texture", sizes)
    regions = {"train": slice(0, 192), "calibrate": slice(192, 352), "test": slice(352, 512)}
    for split, rows in regions.items():
        for index, image in enumerate(getattr(data, split)[:6]):
            if split == "test" and data.kinds[index] != "good":
                continue
            region = photographs.brick()[rows]
            windows = np.lib.stride_tricks.sliding_window_view(region, image.shape)
            assert (windows[:, :, 0, :8] == image[0, :8]).all(-1).any()


@pytest.mark.parametrize("defect", PASTED_DEFECTS)
def test_pasted_defects_change_pixels_near_their_mask_only(defect, rng):
    image = rng.integers(60, 190, (96, 96), np.uint8)
    pasted, mask = paste_defect(image, defect, rng)
    from scipy import ndimage
    assert mask.any() and (pasted != image)[mask].mean() > 0.7
    assert np.array_equal(pasted[~ndimage.binary_dilation(mask, iterations=4)], image[~ndimage.binary_dilation(mask, iterations=4)])
    with pytest.raises(ValueError, match="defect='dent'"):
        paste_defect(image, "dent", rng)


def test_a_folder_is_split_three_ways(mvtec_folder, monkeypatch):
    data = load_dataset(mvtec_folder)
    assert (len(data.train), len(data.calibrate), data.kinds) == (4, 4, ("good",) * 3 + ("scratch",) * 2)
    together = {image.tobytes() for image in [*data.train, *data.calibrate]}
    assert len(together) == 8 and not together & {image.tobytes() for image in data.test}
    data.check()
    monkeypatch.setenv("RADAR_DATA", str(mvtec_folder.parent))
    assert load_dataset("parts").name == "parts"
    assert load_dataset(mvtec_folder, replace(SMALL, longest_side=24, smallest_side=16)).masks[4].shape == (24, 24)


def test_a_folder_without_masks_still_counts_for_detection(mvtec_folder):
    import shutil
    shutil.rmtree(mvtec_folder / "ground_truth")
    data = load_dataset(mvtec_folder)
    assert data.masks[4] is None and data.labels.sum() == 2


def test_bad_folders_are_named(mvtec_folder, tmp_path, rng):
    with pytest.raises(InputError, match="dataset='nothing'"):
        load_dataset("nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty.train.good: no such folder"):
        load_dataset(tmp_path / "empty")
    good = mvtec_folder / "train" / "good"
    write_image(good / "colour.png", rng.integers(0, 256, (48, 48, 3), np.uint8))
    with pytest.raises(InputError, match="colour.png: RGB, but grey"):
        load_dataset(mvtec_folder).check()
    write_image(good / "colour.png", rng.integers(0, 256, (20, 48), np.uint8))
    with pytest.raises(InputError, match="20 x 48 is smaller than a patch"):
        load_dataset(mvtec_folder).check()
    (good / "colour.png").unlink()
    write_image(mvtec_folder / "ground_truth/scratch/000_mask.png", np.zeros((4, 4), bool))
    with pytest.raises(InputError, match="000_mask.png: 4 x 4, but its image is 48 x 48"):
        load_dataset(mvtec_folder).check()
