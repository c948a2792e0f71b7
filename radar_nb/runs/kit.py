"""What a notebook starts from: profile, data set, seed, and where the run's files are.

A profile is how much is done: smoke for CI, cpu for a laptop, gpu for the paper's scale.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd
from diffusers import UNet2DModel

from radar_nb.data.dataset import Dataset, Sizes
from radar_nb.data.named import NAMED, load_dataset
from radar_nb.method.detector import RadarDetector
from radar_nb.method.training import TrainingConfig
from radar_nb.runs.training import process_device, train_into
from radar_nb.storage.errors import InputError, tell
from radar_nb.storage.places import REPOSITORY, from_repository, runs_folder
from radar_nb.storage.tables import write_table
from radar_nb.storage.unet_folder import load_unet
from radar_nb.storage.untrusted import read_json
from radar_nb.storage.whole import waiting_for, write_json


@dataclass(frozen=True)
class Profile:
    """How much of everything."""

    sizes: Sizes
    training: TrainingConfig


PROFILES = {
    "smoke": Profile(Sizes(train=24, calibrate=120, test_good=20, test_per_defect=6, longest_side=256),
                     TrainingConfig(steps=20)),
    "cpu": Profile(Sizes(), TrainingConfig()),
    "gpu": Profile(Sizes(train=400, calibrate=400, test_good=200, test_per_defect=60, side=256,
                         longest_side=1024),
                   TrainingConfig(steps=8000, batch_size=128, patch_size=64, fold=1,
                                  widths=(64, 128, 256, 256), ema_decay=0.995, checkpoint_every=1000)),
}


class Kit:
    """One profile, data set and seed: the data, the model to use, and the folder that results go to.

    Args:
        profile: smoke, cpu or gpu.
        dataset: see `radar_nb.data.named.load_dataset`.
        seed: of the data, the training and the detector.
        folder: where results go; default the variable `RADAR_RUN`, else `runs/<profile>` in the repository.
        longest_side: larger images of a folder are shrunk to so many pixels; None takes the profile's.
        tested: whether the data set must have test images.

    Attributes:
        longest_side: the same, for training and for the detector.

    Raises:
        InputError: one line that says which argument is wrong.
    """

    def __init__(self, profile: str = "smoke", dataset: str = "printed", seed: int = 0,
                 folder: str | Path | None = None, longest_side: int | None = None, tested: bool = True):
        if not isinstance(profile, str) or profile not in PROFILES:
            raise InputError(f"profile={profile!r}: choose one of {', '.join(PROFILES)}")
        if not isinstance(dataset, (str, Path)):
            raise InputError(f"dataset={dataset!r}: give a name in quotes, such as \"printed\", "
                             "or a folder's path")
        if type(seed) is not int or not 0 <= seed < 2**31:
            raise InputError(f"seed={seed!r}: give a whole number from 0 to {2**31 - 1}")
        if profile == "gpu" and process_device().type == "cpu":
            print('profile="gpu": no GPU found; this takes many hours. profile="cpu" takes minutes.',
                  file=sys.stderr, flush=True)
        if longest_side is not None and not 64 <= longest_side <= 2048:
            raise InputError(f"longest_side={longest_side}: choose 64 to 2048 pixels")
        self.profile, self.seed = profile, seed
        self.training = replace(PROFILES[profile].training, seed=seed)
        self.longest_side = longest_side or PROFILES[profile].sizes.longest_side
        self.data: Dataset = load_dataset(
            dataset, replace(PROFILES[profile].sizes, smallest_side=self.training.patch_size,
                             longest_side=self.longest_side), seed)
        if tested and not len(self.data.test):
            raise InputError(f"{self.data.title}: no folder test/good; put normal images there that are not "
                             "trained on (`train` alone needs none)")
        self.folder = Path(folder or os.environ.get("RADAR_RUN") or runs_folder() / profile)
        self.model_folder = self.folder / "models" / self._own_name()
        # Of built-in data sets alone: a folder of any name is other data.
        self.weights_folder = REPOSITORY / "weights" / ("none" if self.data.identity else self.data.name)

    def _own_name(self) -> str:
        """`<data set>-seed<seed>`; with a mark of its contents where the run holds results of other ones."""
        name = f"{self.data.name}-seed{self.seed}"
        self._record = self.folder / "data" / f"{name}.json"
        if not self.data.identity or not self._record.is_file():
            return name
        if read_json(self._record).get("identity") == self.data.identity:
            return name
        tell(f"{self.data.title}: its files have changed since the run {self.folder} began; what was trained "
             "and measured before is not used")
        name = f"{name}-{self.data.identity[:8]}"
        self._record = self.folder / "data" / f"{name}.json"
        return name

    def _remember_data(self) -> None:
        """Note which contents this run's network and results belong to."""
        if self.data.identity and not self._record.is_file():
            write_json(self._record, {"identity": self.data.identity})

    @cached_property
    def unet(self) -> UNet2DModel:
        """The trained U-Net: of notebook 04 in this run, else the released one, else one that is trained now.

        At the smoke profile the released one comes first: twenty steps do not make a detector. At the others
        it is used for seed 0 only, with which it was trained: another seed is another training.
        """
        folders = [self.model_folder, self.weights_folder] if self.seed == 0 else [self.model_folder]
        for folder in [self.weights_folder, self.model_folder] if self.profile == "smoke" else folders:
            if (folder / "config.json").is_file():
                return load_unet(folder).to(process_device())
        if self.profile == "smoke" and self.data.name in NAMED:
            from_repository("weights")  # twenty steps would not stand in for the released network
        self._remember_data()
        trained = train_into(self.model_folder, self.data.train, self.training, progress=False)
        return trained.unet.to(process_device())

    @cached_property
    def detector(self) -> RadarDetector:
        """A detector on `unet`, calibrated on images that the U-Net was not trained on."""
        detector = RadarDetector(unet=self.unet, training=self.training, random_state=self.seed,
                                 longest_side=self.longest_side)
        return detector.fit(self.data.calibrate)

    def save_table(self, name: str, rows: pd.DataFrame | Sequence[Mapping[str, object]]) -> None:
        """Write a DataFrame, or rows with the same keys, as `tables/<name>.csv` of the run."""
        write_table(self.folder / "tables" / f"{name}.csv", rows)

    def keep(self, name: str, make: Callable[[], dict]) -> dict:
        """What `make()` returns, remembered as `measured/<data set>-seed<seed>/<name>.json` of the run."""
        path = self.folder / "measured" / self.model_folder.name / f"{name}.json"
        if not path.is_file():
            self._remember_data()
            write_json(path, make(), indent=None)
        return read_json(path, 1 << 28, finite=False)

    def record(self, method: str, scores: Mapping[str, float]) -> None:
        """Keep a method's scores for the run's `summary.json`."""
        path = self.folder / "methods.json"
        with waiting_for(path):  # two notebooks may come at once
            known = read_json(path, finite=False) if path.is_file() else {}
            rounded = {name: round(float(value), 6) for name, value in scores.items()}
            known[method] = known.get(method, {}) | rounded
            write_json(path, known)
