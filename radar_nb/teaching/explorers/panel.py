"""What explorers are made of: quick pictures, axes drawn once, controls that redraw, stills for pages.

matplotlib needs a tenth of a second and more for a figure, too long for a slider. So a figure's axes are
drawn once (`Backdrop`); what moves is drawn on a copy of that picture, in a millisecond.
"""

import base64
import html
import io
from collections.abc import Callable, Iterable, Sequence
from functools import cache

import ipywidgets as widgets
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
from ipyevents import Event
from matplotlib import font_manager
from matplotlib.axes import Axes
from PIL import ImageChops, ImageDraw, ImageFont
from traitlets import Unicode

from radar_nb.data.images import as_uint8
from radar_nb.figures import HEAT, NOISE_MAP, NORMAL, new_figure, small_png

SIDE = 512  # pixels of a picture's longest side; a browser shows it at half that size, so it is sharp


def png(picture: PIL.Image.Image) -> bytes:
    """A picture as PNG, compressed quickly rather than well."""
    buffer = io.BytesIO()
    picture.save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def enlarged(pixels: np.ndarray, side: int = SIDE) -> PIL.Image.Image:
    """`(H, W)` or `(H, W, 3)`, uint8 or float in [0, 1], as an RGB picture of about `side` pixels."""
    pixels = as_uint8(pixels)
    picture, factor = PIL.Image.fromarray(pixels).convert("RGB"), magnification(pixels.shape, side)
    return picture.resize((picture.width * factor, picture.height * factor), PIL.Image.Resampling.NEAREST)


def magnification(shape: Sequence[int], side: int = SIDE) -> int:
    """How many times `enlarged` enlarges an image of this shape."""
    return max(1, side // max(shape[:2]))


def coloured(values: np.ndarray, limit: float, signed: bool = False) -> PIL.Image.Image:
    """A map `(H, W)` in the colours of `radar_nb.figures.draw_map`, enlarged."""
    scaled = np.clip((values / limit + 1) / 2 if signed else values / limit, 0, 1)
    return enlarged(mpl.colormaps[NOISE_MAP if signed else HEAT](scaled, bytes=True)[..., :3])


class Backdrop:
    """Axes drawn once by matplotlib, to be drawn on many times.

    Args:
        draw: puts on the axes what does not change: limits, labels, curves.
        width, height: inches.
    """

    def __init__(self, draw: Callable[[Axes], None], width: float = 3.7, height: float = 3.7):
        figure, axes = new_figure(width=width, height=height)
        figure.set_dpi(140)
        draw(axes)
        figure.canvas.draw()
        self._picture = PIL.Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
        self._transform = axes.transData.frozen()
        plt.close(figure)
        corners = self.pixels(*np.transpose([axes.get_xlim(), axes.get_ylim()]).T)
        self.box = (*np.round(corners.min(axis=0)).astype(int).tolist(),
                    *np.round(corners.max(axis=0)).astype(int).tolist())
        """Left, top, right and bottom of the axes in the picture, pixels."""

    def pixels(self, x: Iterable[float], y: Iterable[float]) -> np.ndarray:
        """Data coordinates, `(N,)` each, to columns and rows of the picture, `(N, 2)`."""
        points = self._transform.transform(np.column_stack([np.ravel(x), np.ravel(y)]))
        return points * [1, -1] + [0, self._picture.height]

    def copy(self) -> tuple[PIL.Image.Image, ImageDraw.ImageDraw]:
        """A fresh copy of the picture, and what draws on it; colours may be half transparent."""
        picture = self._picture.copy()
        return picture, ImageDraw.Draw(picture, "RGBA")

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Points `(N, 2)` in pixels, pushed to the edge of the axes where they lie beyond."""
        return np.clip(points, self.box[:2], self.box[2:])

    def bars(self, pen: ImageDraw.ImageDraw, edges: np.ndarray, heights: np.ndarray) -> None:
        """Draw a histogram, its bars `(N,)` between edges `(N + 1,)`, cut off where it leaves the axes."""
        heights = np.maximum(heights, 1e-9)  # a logarithmic axis knows no zero
        lefts, tops = self.inside(self.pixels(edges[:-1], heights)).T
        rights = self.inside(self.pixels(edges[1:], heights))[:, 0]
        for left, top, right in zip(lefts, tops, rights, strict=True):
            if top < self.box[3]:
                pen.rectangle((left, top, right, self.box[3]), NORMAL + "90")

    def tint(self, picture: PIL.Image.Image, region: np.ndarray, colour: str) -> None:
        """Shade a region of the axes, bool `(rows, columns)` with the top row first, behind what is drawn."""
        size = (self.box[2] - self.box[0], self.box[3] - self.box[1])
        light = PIL.Image.blend(PIL.Image.new("RGB", size, "white"), PIL.Image.new("RGB", size, colour), 0.2)
        picture.paste(ImageChops.multiply(picture.crop(self.box), light), self.box[:2],
                      PIL.Image.fromarray(region).resize(size))


def dots(pen: ImageDraw.ImageDraw, points: np.ndarray, colour: str, radius: float = 5,
         outline: str | None = None) -> None:
    """Draw a disc at each of the points `(N, 2)`, pixels."""
    for x, y in points:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=outline, width=2)


def cross(pen: ImageDraw.ImageDraw, x: float, y: float, colour: str, arm: int = 14) -> None:
    """Draw a cross with a white rim at a pixel."""
    for fill, width, length in (("white", 9, arm + 3), (colour, 5, arm)):
        pen.line((x - length, y, x + length, y), fill, width)
        pen.line((x, y - length, x, y + length), fill, width)


def slider(label: str, value: int | float, low: int | float, high: int | float,
           step: int | float = 1) -> widgets.Widget:
    """A slider for whole numbers or fractions, with room for its label."""
    whole = all(isinstance(number, int) for number in (value, low, high, step))
    kind = widgets.IntSlider if whole else widgets.FloatSlider
    return kind(value, min=low, max=high, step=step, **described(label))


def dropdown(label: str, options: Iterable, start: int = 0) -> widgets.Dropdown:
    """A list to choose from; starts at the entry with this number, or at the last one."""
    options = list(options)
    return widgets.Dropdown(options=options, value=options[min(start, len(options) - 1)], **described(label))


def described(label: str) -> dict:
    """What all controls have in common: a label, and as much room for it as the others."""
    return {"description": label, "style": {"description_width": "9em"}, "layout": {"width": "30em"}}


class Picture(widgets.Image):
    """An image whose `tooltip` says what is to be seen: a browser shows it, a screen reader reads it."""

    description = Unicode("").tag(sync=True)  # ipywidgets 8 sets no tooltip without one


class Explorer(widgets.VBox):
    """Controls, pictures that follow them, and a line of text that says what is to be seen.

    Displayed, it is a widget. Where no kernel runs (GitHub, a printed notebook, the book), a still picture
    with alt text is in its place, because both are in the same output.

    Args:
        name: file name of the still, for `make run`'s figures.
        alt: what kind of picture this is; the text of the moment is added to it.
        controls: name to widget with a `value`; in this order from top to bottom.
        draw: called with the controls' values by name; gives title to picture, and the text.
        extra: further widgets below the controls, such as buttons.
    """

    def __init__(self, name: str, alt: str, controls: dict[str, widgets.Widget],
                 draw: Callable[..., tuple[dict[str, PIL.Image.Image], str]],
                 extra: Sequence[widgets.Widget] = ()):
        self.name, self.what, self.controls = name, alt, controls
        self.handlers, self.hears, self._draw, self._quiet, self._pictures = {}, {}, draw, False, {}
        pictures, text = self._current()
        self.pictures = {title: Picture(layout={"width": "100%", "height": "auto", "margin": "0"})
                         for title in pictures}
        self.text = widgets.HTML()
        # All in a row where there is room, smaller if need be; in several rows on a telephone.
        framed = [widgets.VBox([widgets.HTML(f"<b>{title}</b>"), self.pictures[title]],
                               layout={"flex": "1 1 150px", "max_width": f"{picture.width // 2}px",
                                       "margin": "0 8px 0 0"})
                  for title, picture in pictures.items()]
        super().__init__([*controls.values(), *extra, self.text,
                          widgets.HBox(framed, layout={"flex_flow": "row wrap"})])
        self._show(pictures, text)
        self.keep_still()
        for control in controls.values():
            control.observe(self.redraw, "value")

    def set(self, **values: object) -> None:
        """Give several controls a new value, and redraw once."""
        self._quiet = True
        for name, value in values.items():
            self.controls[name].value = value
        self._quiet = False
        self.redraw()

    def redraw(self, _: object = None) -> None:
        """Draw for the controls' present values."""
        if not self._quiet:
            self._show(*self._current())

    def on_mouse(self, title: str, kinds: Sequence[str], handle: Callable[[str, float, float], None]) -> None:
        """Call `handle(kind, column, row)` for mouse events on one picture, in pixels of the picture; at most
        25 a second of a kind.
        """
        event = Event(source=self.pictures[title], watched_events=list(kinds), prevent_default_action=True,
                      wait=40, throttle_or_debounce="throttle")

        def heard(message: dict) -> None:
            # The browser's dataX and dataY are 0 while a picture reloads; the place in the box is not.
            width = message.get("boundingRectWidth")
            if width:
                factor = self._pictures[title].width / width
                handle(message["type"], message["relativeX"] * factor, message["relativeY"] * factor)

        event.on_dom_event(heard)
        self.hears[title] = heard
        self.handlers[title] = handle

    def keep_still(self) -> None:
        """Take the picture of this moment for those without a kernel."""
        self.still = small_png(side_by_side(self._pictures), colours=128)
        self.alt = f"{self.what} {self.words}"

    def _current(self) -> tuple[dict[str, PIL.Image.Image], str]:
        return self._draw(**{name: control.value for name, control in self.controls.items()})

    def _show(self, pictures: dict[str, PIL.Image.Image], words: str) -> None:
        for title, picture in pictures.items():
            if picture is not self._pictures.get(title):
                self.pictures[title].value = png(picture)
            self.pictures[title].tooltip = f"{title}. {words}"
        self._pictures, self.words = pictures, words
        self.text.value = f"<p>{html.escape(words)}</p>"

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict, dict]:
        bundle = super()._repr_mimebundle_(**kwargs)
        still = {"text/plain": f"Explorer: {self.alt}", "image/png": base64.b64encode(self.still).decode()}
        return bundle | still, {"image/png": {"alt": self.alt, "name": self.name}}


def side_by_side(pictures: dict[str, PIL.Image.Image], gap: int = 14) -> PIL.Image.Image:
    """Pictures in a row at half their size, each under its title."""
    halves = {title: picture.reduce(2) for title, picture in pictures.items()}
    size = (sum(half.width + gap for half in halves.values()) - gap,
            20 + max(half.height for half in halves.values()))
    row = PIL.Image.new("RGB", size, "white")
    pen, x = ImageDraw.Draw(row), 0
    for title, half in halves.items():
        pen.text((x, 1), title, "black", _font(13))
        row.paste(half, (x, 20))
        x += half.width + gap
    return row


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)
