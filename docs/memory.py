"""How much memory does `train` take? `python docs/memory.py` trains on 1,000 made RGB images of 512 x 512.

Prints the seconds of the whole command, and the largest memory of any of its processes. The folder is removed
at the end.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from scale import run_and_watch
from scipy import ndimage

from radar_nb.data.images import write_image


def main() -> None:
    """Read the arguments, make the images, train on them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--side", type=int, default=512, help="of the images, pixels")
    parser.add_argument("--recipe", default="fused", help="fused or paper")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    large = ndimage.gaussian_filter(rng.standard_normal((3 * args.side, 3 * args.side, 3)), (1, 1, 0))
    large = (128 + 40 * large / large.std()).clip(0, 255).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        for index, (row, column) in enumerate(rng.integers(0, 2 * args.side, (args.images + 4, 2))):
            part = "train" if index < args.images else "test"  # a few to test, since the layout asks for them
            image = large[row:row + args.side, column:column + args.side]
            write_image(Path(folder, "photos", part, "good", f"{index:04}.png"), image)
        seconds, peak = run_and_watch(["-m", "radar_nb", "train", "--recipe", args.recipe,
                                       "--dataset", f"{folder}/photos", "--out", f"{folder}/model"])
        print(f"{args.images} RGB images of {args.side} x {args.side}, {args.recipe}: {seconds:.0f} s, "
              f"{peak:.0f} MB at most")


if __name__ == "__main__":
    main()
