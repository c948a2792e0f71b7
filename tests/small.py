"""Small data, the settings of short trainings, and a few images: what many tests share."""

from radar_nb.data.dataset import Sizes
from radar_nb.data.images import write_image
from radar_nb.data.printed import make_image
from radar_nb.method.training import TrainingConfig

SMALL = Sizes(train=8, calibrate=40, test_good=6, test_per_defect=2, side=64)
TINY = TrainingConfig(steps=6, batch_size=4, patch_size=16, widths=(8, 8), checkpoint_every=2)
TINY_RUN = TrainingConfig(steps=7, batch_size=4, patch_size=16, widths=(8, 8), checkpoint_every=2, sample_every=7)


def tiny_images():
    """Four small normal images."""
    return [make_image("easy", 0, "train", index, size=48)[0] for index in range(4)]


def write_folder(root, surface, seed, side, good, defects, each):
    """A data set on disk in the MVTec AD layout: `good` counts normal images of each split, and each defect has `each` with masks."""
    for split, count in good.items():
        for index in range(count):
            write_image(root / split / "good" / f"{index:03}.png", make_image(surface, seed, split, index, size=side)[0])
    for kind in defects:
        for index in range(each):
            image, mask = make_image(surface, seed, "test", index, kind, size=side)
            write_image(root / "test" / kind / f"{index:03}.png", image)
            write_image(root / "ground_truth" / kind / f"{index:03}_mask.png", mask)
    return root
