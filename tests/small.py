"""Small data, the settings of short trainings, and a few images: what many tests share."""

from radar_nb.data.dataset import Sizes
from radar_nb.data.printed import make_image
from radar_nb.method.training import TrainingConfig

SMALL = Sizes(train=8, calibrate=40, test_good=6, test_per_defect=2, side=64)
TINY = TrainingConfig(steps=6, batch_size=4, patch_size=16, widths=(8, 8), checkpoint_every=2)
TINY_RUN = TrainingConfig(steps=7, batch_size=4, patch_size=16, widths=(8, 8), checkpoint_every=2, sample_every=7)


def tiny_images():
    """Four small normal images."""
    return [make_image("easy", 0, "train", index, size=48)[0] for index in range(4)]
