"""The card of a fused detector: what it relies on, shown on its own normal images, as one page."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from radar_nb.beyond.fused import BORDER, FusedDetector
from radar_nb.beyond.limits import MANY, false_alarm_interval
from radar_nb.beyond.views import CELL
from radar_nb.data.images import as_uint8
from radar_nb.data.texture import PASTED_DEFECTS, paste_defect
from radar_nb.figures import draw_image, draw_map, new_figure, small_png
from radar_nb.storage.whole import write_text

SHARES = (0.03, 0.05, 0.08, 0.12, 0.2)  # about the width of a pasted defect, of the image's shorter side
SUSPICIOUS = 10
PASTED_ON = 16  # the most images that defects of one size are pasted on


def paste_of_size(image: np.ndarray, share: float, kind: str,
                  rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Paste a made defect whose width is about `share` of the shorter side; image uint8 and mask.

    `paste_defect` makes one of about a fifth of what it is given: here a square piece of the image.
    """
    side = min(image.shape[:2])
    piece = int(np.clip(round(5 * share * side), 16, side))
    row, column = (int(rng.integers(length - piece + 1)) for length in image.shape[:2])
    pasted, mask = as_uint8(image).copy(), np.zeros(image.shape[:2], bool)
    window = np.s_[row:row + piece, column:column + piece]
    pasted[window], mask[window] = paste_defect(pasted[window], kind, rng)
    return pasted, mask


class Card:
    """What is shown of a detector.

    Args:
        detector: fitted; images: the normal images that it was calibrated on, in that order; seed: of the
            pasted defects.

    Attributes:
        alarm_rate, interval: false alarms asked for, and between which rates nine of ten calibrations lie;
        suspicious: indices of the most suspicious calibration images; findings: of those, as `inspect` yields
        them; pasted: for each of `SHARES` the share of pasted defects that are found and one example.
    """

    def __init__(self, detector: FusedDetector, images: Sequence[np.ndarray], seed: int = 0):
        self.count, self.alarm_rate = len(detector.calibration_features_), detector.contamination
        self.interval = false_alarm_interval(self.count, self.alarm_rate)
        scores = detector._fuse(detector.calibration_features_)
        self.suspicious = np.argsort(-scores)[:SUSPICIOUS].tolist()
        self.findings = list(detector.inspect([images[index] for index in self.suspicious]))
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(images))[:PASTED_ON]
        self.pasted = [self._paste(detector, [images[index] for index in order], share, rng)
                       for share in SHARES]

    def _paste(self, detector: FusedDetector, images: Sequence[np.ndarray], share: float,
               rng: np.random.Generator) -> dict:
        kinds = [PASTED_DEFECTS[index % len(PASTED_DEFECTS)] for index in range(len(images))]
        made = [paste_of_size(image, share, kind, rng) for image, kind in zip(images, kinds, strict=True)]
        findings = list(detector.inspect([image for image, _ in made]))
        found = float(np.mean([not finding["normal"] for finding in findings]))
        return {"share": share, "found": found, "count": len(made), "kind": kinds[0], "mask": made[0][1],
                "finding": findings[0]}

    def lines(self) -> list[str]:
        """What a person should know, as sentences."""
        low, high = self.interval
        smallest = next((entry["share"] for entry in self.pasted if entry["found"] >= 0.5), None)
        size = "None of the sizes was found on half of the images" if smallest is None else \
            f"Defects of {smallest:.0%} of the shorter side were found on at least half of the images"
        how = "the order of their scores" if self.count >= MANY else "a normal tail fitted to their scores"
        return [
            f"The threshold comes from {self.count} normal images, by {how}. It asks for "
            f"{self.alarm_rate:.0%} false alarms. With so many images the true rate lies between "
            f"{low:.1%} and {high:.1%} (nine times out of ten), if new images are taken as these were.",
            f"{size}. Pasted defects show that something odd is seen; they do not tell how well your own "
            "defects will be found.",
            f"It cannot see: what is normal elsewhere in the image and wrong only in its place (a missing "
            f"part); a change of the whole image, such as colour or focus; long defects along a whole row or "
            f"column; anything within {BORDER * CELL} pixels of the edge; defects below about {CELL} pixels.",
            "If the camera, the lens, the lamp or the material changes, train again. Do not wait for alarms: "
            "less light or a soft focus raises none, it hides defects. Show it a known defect each day.",
        ]

    def write(self, path: str | Path, title: str) -> None:
        """Write the page, with its pictures inside it."""
        lines = "\n".join(f"<li>{html.escape(line)}</li>" for line in self.lines())
        rows = "\n".join(f"<tr><td>{entry['share']:.0%}</td>"
                         f"<td>{entry['found']:.0%} of {entry['count']}</td></tr>"
                         for entry in self.pasted)
        suspicious = _picture(self._suspicious_figure(), "The most suspicious normal images, outlined where "
                              "they are unusual, and their anomaly maps")
        pasted = _picture(self._pasted_figure(), "A defect of five sizes pasted on a normal image, outlined, "
                          "and the anomaly map of each")
        write_text(path, _PAGE.format(title=html.escape(title), lines=lines, rows=rows,
                                      suspicious=suspicious, pasted=pasted, count=len(self.findings)))

    def _suspicious_figure(self) -> Figure:
        titles = [f"image {index + 1}: {'normal' if finding['normal'] else 'ANOMALOUS'}"
                  for index, finding in zip(self.suspicious, self.findings, strict=True)]
        return _pairs(self.findings, [finding["mask"] for finding in self.findings], titles)

    def _pasted_figure(self) -> Figure:
        titles = [f"{entry['kind']}, {entry['share']:.0%}" for entry in self.pasted]
        return _pairs([entry["finding"] for entry in self.pasted], [entry["mask"] for entry in self.pasted],
                      titles)


def _pairs(findings: Sequence[dict], masks: Sequence[np.ndarray], titles: Sequence[str]) -> Figure:
    """Images with outlines, five in a row, and their anomaly maps below them, all on one range."""
    rows = -(-len(findings) // 5)
    limit = max(float(finding["anomaly_map"].max()) for finding in findings)
    figure, axes = new_figure(2 * rows, 5, width=12, height=5 * rows)
    for axis in axes.flat:
        axis.axis("off")
    for index, (finding, mask, title) in enumerate(zip(findings, masks, titles, strict=True)):
        row, column = divmod(index, 5)
        draw_image(axes[2 * row, column], finding["image"], title, mask)
        draw_map(axes[2 * row + 1, column], finding["anomaly_map"], limit=limit, colorbar=False)
    return figure


def _picture(figure: Figure, alt: str) -> str:
    full = io.BytesIO()
    figure.savefig(full, format="png", dpi=72)
    plt.close(figure)
    data = base64.b64encode(small_png(Image.open(full))).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #222 }}
img {{ max-width: 100%; height: auto }}
td, th {{ padding: 0.2rem 1.5rem 0.2rem 0; text-align: left }}
</style>
</head>
<body>
<h1>{title}</h1>
<ul>
{lines}
</ul>
<h2>The {count} most suspicious normal images</h2>
<p>Look at each. If one shows a defect, take it out of the folder and train again: a detector that has learnt
from a defect misses its like. Numbers count the calibration images, in the order of the folder.</p>
{suspicious}
<h2>Pasted defects</h2>
<table>
<tr><th>width, of the shorter side</th><th>found</th></tr>
{rows}
</table>
{pasted}
<p>The outline is what was pasted. All maps share one range of colours.</p>
</body>
</html>
"""
