"""The explorer that lets a student be the defect: paint on a normal image, and watch how RADAR reacts
(paper Fig. 1).
"""

import time
from collections.abc import Mapping

import ipywidgets as widgets
import numpy as np
import PIL.Image
from matplotlib.axes import Axes
from PIL import ImageDraw
from skimage.segmentation import find_boundaries

from radar_nb.figures import ACCENT, ANOMALOUS, NORMAL
from radar_nb.method.detector import RadarDetector
from radar_nb.teaching.explorers.panel import (
    Backdrop,
    Explorer,
    coloured,
    dots,
    dropdown,
    enlarged,
    magnification,
    slider,
)
from radar_nb.teaching.explorers.texts import TEXTS

WORDS = TEXTS["explore_paint"]
TITLES = WORDS["titles"]
CANVAS = 640  # pixels of the picture that is painted on


class Painting:
    """An image and the strokes on it, each with its own grey value and opacity.

    Args:
        image: `(H, W)` or `(H, W, 3)`, uint8 or float in [0, 1]; it is not changed.
    """

    def __init__(self, image: np.ndarray):
        self.image, self.strokes = image, []

    def begin(self, grey: float, opacity: float) -> None:
        """Begin a stroke; both from 0 to 1."""
        self.strokes.append((PIL.Image.new("1", self.image.shape[1::-1]), grey, opacity))

    def stroke(self, start: tuple[float, float], end: tuple[float, float], size: float) -> None:
        """Draw with a round brush of `size` pixels from one `(row, column)` to another, as part of the last
        stroke.
        """
        pen = ImageDraw.Draw(self.strokes[-1][0])
        pen.line((*start[::-1], *end[::-1]), 1, max(1, round(size)))
        reach = (size - 1) / 2
        for row, column in (start, end):
            pen.ellipse((column - reach, row - reach, column + reach, row + reach), 1)

    def result(self) -> np.ndarray:
        """The painted image, shaped and typed as the image."""
        scale = 255 if self.image.dtype == np.uint8 else 1
        painted = self.image.astype(np.float32)
        for mask, grey, opacity in self.strokes:
            painted[np.asarray(mask)] *= 1 - opacity
            painted[np.asarray(mask)] += opacity * grey * scale
        return painted.round().astype(np.uint8) if scale == 255 else painted


class PaintExplorer(Explorer):
    """See `explore_paint`; the methods are what its buttons and the mouse do."""

    def __init__(self, detector: RadarDetector, images: Mapping[str, np.ndarray]):
        self._detector = detector
        # As the detector sees them: it may shrink large ones.
        self._images = {name: next(detector.inspect([image]))["image"] for name, image in images.items()}
        self._plane, self._region = _feature_plane(detector)
        self._painting, self._at, self._rest, self._seen = None, None, 0.0, False
        self._open_image(next(iter(images)))
        height, width = self._painting.image.shape[:2]
        name = WORDS["labels"]
        controls = {"image": dropdown(name["image"], images), "size": slider(name["size"], 7, 1, 30),
                    "grey": slider(name["grey"], 20, 0, 255),
                    "opacity": slider(name["opacity"], 100, 5, 100, 5),
                    "row": slider(name["row"], height // 2, 0, height - 1),
                    "column": slider(name["column"], width // 2, 0, width - 1)}
        buttons = {name: widgets.Button(description=name) for name in WORDS["buttons"].values()}
        super().__init__("explore_paint", WORDS["alt"], controls, self._draw_all,
                         [widgets.HBox(list(buttons.values()))])
        self.buttons = buttons
        for button, action in zip(buttons.values(), (self.dab, self.undo, self.clear), strict=True):
            button.on_click(lambda _, action=action: action())
        self.on_mouse(TITLES["canvas"], ["mousedown", "mousemove", "mouseup", "mouseleave"], self._mouse)

    @property
    def strokes(self) -> list:
        """What has been painted, see `Painting`."""
        return self._painting.strokes

    def dab(self) -> None:
        """Touch the image once with the brush, where the sliders say."""
        self._begin()
        self._reach((self.controls["row"].value, self.controls["column"].value))
        self._at = None
        self._look()

    def undo(self) -> None:
        """Take the last stroke away."""
        del self._painting.strokes[-1:]
        self._look()

    def clear(self) -> None:
        """Take all strokes away."""
        self._open_image(self.controls["image"].value)
        self.redraw()

    def _open_image(self, name: str) -> None:
        self._name, self._painting, self._trail = name, Painting(self._images[name]), []
        self._inspect()

    def _begin(self) -> None:
        self._painting.begin(self.controls["grey"].value / 255, self.controls["opacity"].value / 100)
        self._at = None

    def _reach(self, place: tuple[float, float]) -> None:
        if place != self._at:
            self._painting.stroke(self._at or place, place, self.controls["size"].value)
            self._at, self._seen = place, False

    def _mouse(self, kind: str, x: float, y: float) -> None:
        """Mouse down begins a stroke, moving draws, mouse up ends it and has the detector look; in between it
        looks when it has time. The ring goes along, with a button pressed or not.
        """
        factor = magnification(self._painting.image.shape, CANVAS)
        known = (x, y) != (0, 0)  # what a browser says while a picture reloads
        if known and kind != "mouseleave":
            self._point(round(y / factor - 0.5), round(x / factor - 0.5))
        if kind == "mousedown" and known:
            self._begin()
        elif self._at is None:  # no stroke is open
            self.redraw()
            return
        if known and kind != "mouseleave":
            self._reach((y / factor - 0.5, x / factor - 0.5))
        if kind in ("mouseup", "mouseleave"):
            self._at = None
        if self._seen:  # a click that moved nothing has been answered when the button went down
            return
        if self._at is None or kind == "mousedown" or time.perf_counter() > self._rest:
            self._look()
        else:
            self.redraw()

    def _point(self, row: int, column: int) -> None:
        """Move the ring, and the sliders with it, without drawing yet."""
        self._quiet = True
        height, width = self._painting.image.shape[:2]
        self.controls["row"].value, self.controls["column"].value = np.clip(
            (row, column), 0, (height - 1, width - 1)).tolist()
        self._quiet = False

    def _look(self) -> None:
        """Have the detector look, then leave time for the mouse: of a long stroke's events, most only
        paint.
        """
        began = time.perf_counter()
        self._inspect()
        self.redraw()
        self._rest = time.perf_counter() + 2 * (time.perf_counter() - began)

    def _inspect(self) -> None:
        found = next(self._detector.inspect([self._painting.result()]))
        self._seen = True
        self._trail.append(found["features"])
        global_norm, local_norm = found["features"]
        self._words = WORDS["text"].format(
            decision=WORDS["decisions"]["normal" if found["normal"] else "anomalous"], score=-found["score"],
            offset=-self._detector.offset_, global_norm=global_norm, local_norm=local_norm)
        sobel = coloured(found["anomaly_map"], 3 * self._detector.pixel_threshold_)
        outline = find_boundaries(np.asarray(enlarged(found["mask"].astype(np.float32)).convert("L")) > 0,
                                  mode="thick")
        sobel.paste(ACCENT, mask=PIL.Image.fromarray(outline))
        self._found = {TITLES["noise"]: coloured(found["noise_map"].mean(axis=0), 1.5, signed=True),
                       TITLES["sobel"]: sobel,
                       TITLES["plane"]: self._draw_features(found["normal"])}

    def _draw_features(self, normal: bool) -> PIL.Image.Image:
        picture, pen = self._plane.copy()
        self._plane.tint(picture, self._region, NORMAL)
        places = self._plane.inside(self._plane.pixels(*np.transpose(self._trail)))
        pen.line([tuple(place) for place in places], "#55555580", 3)
        dots(pen, places[-1:], NORMAL if normal else ANOMALOUS, 12, "black")
        return picture

    def _draw_all(self, image: str, size: int, grey: int, opacity: int, row: int,
                  column: int) -> tuple[dict[str, PIL.Image.Image], str]:
        if image != self._name:
            self._open_image(image)
        factor = magnification(self._painting.image.shape, CANVAS)
        canvas = enlarged(self._painting.result(), CANVAS)
        _draw_brush(ImageDraw.Draw(canvas), (column + 0.5) * factor, (row + 0.5) * factor,
                    max(size, 2) * factor / 2)
        return {TITLES["canvas"]: canvas, **self._found}, self._words


def _draw_brush(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float) -> None:
    """Draw where the brush is: four pieces of a ring with ticks, as in a viewfinder; no defect looks so."""
    for colour, width in (("white", 6), (ACCENT, 2)):
        for corner in (45, 135, 225, 315):
            pen.arc((x - radius, y - radius, x + radius, y + radius), corner - 32, corner + 32, colour, width)
            tick = np.array([np.cos(np.radians(corner)), np.sin(np.radians(corner))])
            start, end = ((x, y) + tick * reach for reach in (radius, radius + 14))
            pen.line((*start, *end), colour, width)


def explore_paint(detector: RadarDetector, images: Mapping[str, np.ndarray]) -> PaintExplorer:
    """Paint a defect on a normal image with the mouse; noise map, Sobel map, features and decision follow
    (paper Fig. 1).

    With the keyboard: sliders for row and column move the brush, the button *dab* touches the image with it.
    The ring of four pieces shows the brush: where the mouse is, or where the sliders say.

    Args:
        detector: fitted; images: name to normal image.
    """
    explorer = PaintExplorer(detector, images)
    explorer.dab()
    explorer.keep_still()  # a page without a kernel shows what a dab does
    explorer.clear()
    return explorer


def _feature_plane(detector: RadarDetector) -> tuple[Backdrop, np.ndarray]:
    """The plane of features on logarithmic axes, wide enough for what can be painted, and where the forest
    says normal.
    """
    points = detector.calibration_features_
    low, high = 0.8 * points.min(axis=0), points.max(axis=0) * [1.7, 3.2]

    def draw(axes: Axes) -> None:
        axes.scatter(*points.T, s=8, c=NORMAL, label=WORDS["axes"]["points"])
        axes.set(xscale="log", yscale="log", xlim=(low[0], high[0]), ylim=(low[1], high[1]),
                 xlabel=WORDS["axes"]["x"], ylabel=WORDS["axes"]["y"])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:.3g}")
            axis.set_minor_formatter("{x:.3g}")
        axes.legend(loc="lower right")

    grid = np.stack(np.meshgrid(np.geomspace(low[0], high[0], 100), np.geomspace(high[1], low[1], 100)),
                    axis=-1)  # first row on top
    scores = detector.forest_.score_samples(grid.reshape(-1, 2)).reshape(grid.shape[:2])
    return Backdrop(draw), scores >= detector.offset_
