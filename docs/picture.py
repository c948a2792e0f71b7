"""The picture of README.md, `docs/radar.png`: three test images of `printed`, with the released network.

An outline is drawn only where the detector calls the image anomalous, and not in a frame of 4 pixels, where
the network sees half of a neighbourhood (notebook 08).
"""

import io
import sys
from pathlib import Path

import numpy as np
import PIL.Image

from radar_nb.data.dataset import Sizes
from radar_nb.data.named import load_dataset
from radar_nb.figures import detection_figure, small_png
from radar_nb.method.detector import RadarDetector

FRAME = 4
KINDS = ("good", "gap", "blob")


def main(out: str = "docs/radar.png") -> None:
    """Draw it, from the repository's root."""
    data = load_dataset("printed", Sizes(), 0)
    chosen = [list(data.kinds).index(kind) for kind in KINDS]  # the first of each kind
    detector = RadarDetector.from_pretrained("weights/printed")
    findings = list(detector.inspect([data.test[index] for index in chosen]))
    for finding in findings:
        inner = np.zeros_like(finding["mask"])
        inner[FRAME:-FRAME, FRAME:-FRAME] = finding["normal"] is False
        finding["mask"] = finding["mask"] & inner
    figure = detection_figure(findings, [data.masks[index] for index in chosen], KINDS)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80, bbox_inches="tight")
    Path(out).write_bytes(small_png(PIL.Image.open(drawn)))


if __name__ == "__main__":
    main(*sys.argv[1:])
