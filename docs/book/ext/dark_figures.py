"""Dark twins of the figures: white paper becomes dark and black ink light, while images and maps inside of a
figure stay as they are, since their colours carry meaning.
"""

from html import escape
from pathlib import Path

import numpy as np
import PIL.Image
from docutils import nodes
from scipy import ndimage

LARGE = 36  # pixels: a solid block with both sides larger than this is an image or a map
PAPER = np.array([20.0, 24.0, 30.0])  # the dark paper


def pictures_in(values: np.ndarray) -> np.ndarray:
    """Where images and maps lie in a figure.

    Args:
        values: `(H, W, 3)` uint8, drawn on white.

    Returns:
        `(H, W)` bool: solid blocks of at least LARGE x LARGE pixels, and thin ones beside them (colour bars).
    """
    drawn = (values < 250).any(axis=2)
    labels, _ = ndimage.label(ndimage.uniform_filter(drawn.astype(float), 9) > 0.65)  # whites may be among it
    keep = np.zeros(drawn.shape, bool)
    for place in ndimage.find_objects(labels):
        rows, columns = place = grown(drawn, *place)
        short, long = sorted((rows.stop - rows.start, columns.stop - columns.start))
        if is_picture(values[place].reshape(-1, 3), drawn[place].mean(), short >= LARGE):
            keep[place] |= short >= LARGE or long >= 2 * LARGE
    return keep


def grown(drawn: np.ndarray, rows: slice, columns: slice) -> tuple[slice, slice]:
    """A rectangle that is moved out by up to 6 pixels on each side, as long as what is met there is drawn."""
    (top, bottom), (left, right) = (rows.start, rows.stop), (columns.start, columns.stop)
    for _ in range(6):
        top -= top > 0 and drawn[top - 1, left:right].mean() > 0.6
        bottom += bottom < len(drawn) and drawn[bottom, left:right].mean() > 0.6
        left -= left > 0 and drawn[top:bottom, left - 1].mean() > 0.6
        right += right < drawn.shape[1] and drawn[top:bottom, right].mean() > 0.6
    return slice(top, bottom), slice(left, right)


def is_picture(colours: np.ndarray, drawn: float, large: bool) -> bool:
    """Whether a block is a picture: of many colours and no paper or, in a large one, all grey.

    A shaded area or a bar of a chart has one colour; a small grey block is text; a cloud of points has paper
    in it.

    Args:
        colours: its pixels, `(N, 3)`.
        drawn: the share of them that are not white.
    """
    grey = (np.ptp(colours.astype(int), axis=1) < 8).mean() > 0.95
    _, counts = np.unique(colours, axis=0, return_counts=True)
    many = len(counts) >= 6 and counts.max() < 0.6 * counts.sum()
    return bool(grey and large and drawn > 0.7) or bool(not grey and many and drawn > 0.95)


def darkened(values: np.ndarray) -> np.ndarray:
    """A figure `(H, W, 3)` uint8 for dark pages: lightness turned round, hues kept, pictures untouched."""
    colours = values.astype(float)
    bright, dim = colours.max(axis=2, keepdims=True), colours.min(axis=2, keepdims=True)
    turned = colours + (255 - bright - dim)  # lightness L becomes 255 - L; the differences of a hue stay
    turned = PAPER + turned * (245 - PAPER) / 255
    return np.where(pictures_in(values)[..., None], values, turned.round()).clip(0, 255).astype(np.uint8)


def save_twin(path: Path, twin: Path) -> bool:
    """Write the dark twin of a figure as PNG. False where the figure is not on white: none is needed."""
    values = np.asarray(PIL.Image.open(path).convert("RGB"))
    if values[[0, 0, -1, -1], [0, -1, 0, -1]].min() < 250:
        return False
    twin.parent.mkdir(parents=True, exist_ok=True)
    small = PIL.Image.fromarray(darkened(values)).quantize(256, PIL.Image.Quantize.MAXCOVERAGE,
                                                           dither=PIL.Image.Dither.NONE)
    palette = np.reshape(small.getpalette(), (-1, 3))
    palette[np.abs(palette - PAPER).sum(axis=1).argmin()] = PAPER  # the paper of all figures is the same
    small.putpalette(palette.ravel().tolist())
    small.save(twin, "png", optimize=True)
    return True


def place(app, doctree: nodes.document) -> None:
    """Put a dark twin beside each figure; the theme shows one of the two. Both have the same alt text."""
    up = "../" * app.env.docname.count("/")
    for image in list(doctree.findall(nodes.image)):
        path = Path(app.srcdir) / image["uri"]
        name = f"{path.stem}.dark.png"
        if path.suffix == ".png" and path.is_file() and save_twin(path, Path(app.outdir) / "_images" / name):
            image["classes"].append("only-light")
            # (As an image of Sphinx the twin would have to be a file of the sources.)
            twin = f'<img class="only-dark" src="{up}_images/{name}" alt="{escape(image.get("alt", ""))}">'
            image.parent.insert(image.parent.index(image) + 1, nodes.raw("", twin, format="html"))


def setup(app) -> dict:
    """Called by Sphinx. Late, so that the alt texts are there."""
    app.connect("doctree-read", place, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
