"""Pictures: one look for all notebooks, colour maps safe for colour-blind readers, alt text in every
figure.
"""

import io
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
from IPython.display import Image, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

# Okabe and Ito's colours, told apart by colour-blind readers.
NORMAL, ANOMALOUS, NEUTRAL, ACCENT = "#0072B2", "#D55E00", "#555555", "#E69F00"
NOISE_MAP, HEAT = "PuOr", "viridis"

_STYLE = {"figure.facecolor": "white", "font.size": 11, "axes.titlesize": 11, "axes.spines.top": False,
          "axes.spines.right": False, "figure.constrained_layout.use": True, "image.interpolation": "nearest",
          "legend.frameon": False, "savefig.dpi": 72}


def new_figure(rows: int = 1, columns: int = 1, width: float = 9,
               height: float = 3) -> tuple[Figure, np.ndarray | Axes]:
    """A figure in the kit's style, and its axes as `plt.subplots` gives them; sizes in inches."""
    with plt.rc_context(_STYLE):
        return plt.subplots(rows, columns, figsize=(width, height))


def show(figure: Figure, alt: str, name: str = "") -> None:
    """Display a figure as PNG with its alt text in the output's metadata, and close it.

    Args:
        alt: what is to be seen, for those who cannot see it; becomes the caption in `report.html`.
        name: file name in the run's `figures/`, without ending; default the notebook's name and a number.
    """
    full = io.BytesIO()
    with plt.rc_context(_STYLE):
        figure.savefig(full, format="png", bbox_inches="tight")
    plt.close(figure)
    display(Image(small_png(PIL.Image.open(full)), format="png", alt=alt,
                  metadata={"name": name} if name else {}))


def small_png(picture: PIL.Image.Image, colours: int = 256) -> bytes:
    """A picture as PNG with a palette, for a notebook: a quarter of the bytes, and no difference to the eye.

    The palette covers rare colours as well as common ones, so that a small defect keeps its own.
    """
    small = io.BytesIO()
    palette = picture.convert("RGB").quantize(colours, PIL.Image.Quantize.MAXCOVERAGE,
                                              dither=PIL.Image.Dither.NONE)
    palette.save(small, "png", optimize=True)
    return small.getvalue()


def draw_image(axes: Axes, image: np.ndarray, title: str = "", mask: np.ndarray | None = None) -> None:
    """A grey or RGB image on one fixed range; `mask` is drawn as an outline."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1)
    if mask is not None and mask.any() and not mask.all():
        axes.contour(mask, [0.5], colors=ACCENT, linewidths=1.3)
    axes.set(title=title, xticks=[], yticks=[])


def draw_map(axes: Axes, values: np.ndarray, title: str = "", limit: float | None = None,
             signed: bool = False,
             colorbar: bool = True) -> None:
    """A map `(H, W)` in colour: `signed` maps from -limit to limit around white, others from 0 to limit."""
    limit = float(np.quantile(np.abs(values), 0.999)) if limit is None else limit
    picture = axes.imshow(values, cmap=NOISE_MAP if signed else HEAT, vmin=-limit if signed else 0,
                          vmax=limit)
    axes.set(title=title, xticks=[], yticks=[])
    if colorbar:
        axes.figure.colorbar(picture, ax=axes, fraction=0.046, pad=0.03)


def image_row(images: Sequence[np.ndarray], titles: Sequence[str],
              masks: Sequence[np.ndarray | None] | None = None,
              height: float = 2.6) -> Figure:
    """Images side by side."""
    figure, axes = new_figure(1, len(images), width=2.1 * len(images), height=height)
    for number, (axis, image, title) in enumerate(zip(np.atleast_1d(axes), images, titles, strict=True)):
        draw_image(axis, image, title, masks[number] if masks is not None else None)
    return figure


def detection_figure(findings: Sequence[dict], truths: Sequence[np.ndarray | None],
                     names: Sequence[str]) -> Figure:
    """What RADAR sees, a row an image: input, noise map, Sobel map, found mask (paper Fig. 1).

    Args:
        findings: what `RadarDetector.inspect` yields; the same colour ranges serve all rows.
        truths: the true mask of each, drawn as an outline, or None.
        names: a label for each row.
    """
    noise = [finding["noise_map"].mean(axis=0) for finding in findings]
    noise_limit = max(float(np.quantile(np.abs(map_), 0.999)) for map_ in noise)
    sobel_limit = max(float(finding["anomaly_map"].max()) for finding in findings)
    figure, axes = new_figure(len(findings), 4, width=9, height=2.3 * len(findings))
    for row, finding, map_, truth, name in zip(np.atleast_2d(axes), findings, noise, truths, names,
                                               strict=True):
        decision = "normal" if finding["normal"] else "anomalous"
        draw_image(row[0], finding["image"], f"{name}\ndecision: {decision}", truth)
        draw_map(row[1], map_, "noise map", noise_limit, signed=True)
        draw_map(row[2], finding["anomaly_map"], "smoothed Sobel map", sobel_limit)
        draw_image(row[3], finding["image"], "found defect", finding["mask"])
    return figure


def draw_decision(axes: Axes, forest, features: np.ndarray, labels: np.ndarray, title: str = "") -> None:
    """The feature plane `(N, 2)` with an Isolation Forest's region of normal images shaded (paper Fig. 1).

    Args:
        forest: fitted on the two features; labels: `(N,)` bool, True for anomalous.
    """
    low, high = np.quantile(features, [0, 1], axis=0)
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)
    grid = np.stack(np.meshgrid(*np.linspace(low, high, 120).T), axis=-1)
    inside = forest.decision_function(grid.reshape(-1, 2)).reshape(grid.shape[:2]) >= 0
    axes.contourf(grid[..., 0], grid[..., 1], inside, levels=[0.5, 1.5], colors=[NORMAL], alpha=0.15)
    for value, colour, marker, name in ((False, NORMAL, "o", "normal"), (True, ANOMALOUS, "^", "anomalous")):
        axes.scatter(*features[np.asarray(labels) == value].T, s=18, c=colour, marker=marker, label=name,
                     alpha=0.7)
    axes.set(xlabel="global norm", ylabel="local norm", title=title)
    axes.legend()


def draw_histogram(axes: Axes, values: np.ndarray, title: str = "") -> None:
    """Histogram of a noise map's values with the Gaussian of the same mean and deviation (paper Fig. 4)."""
    values = np.ravel(values)
    axes.hist(values, 60, density=True, color=NORMAL, alpha=0.5, label="noise map")
    x = np.linspace(values.min(), values.max(), 200)
    axes.plot(x, stats.norm.pdf(x, values.mean(), values.std()), color=ANOMALOUS, label="Gaussian")
    axes.set(title=title, xlabel="value", ylabel="density")
    axes.legend()


def draw_qq(axes: Axes, values: np.ndarray, title: str = "") -> None:
    """Q-Q plot of standardised values against a Gaussian: points on the line where they are Gaussian."""
    values = np.sort(np.ravel(values))
    chosen = values[np.linspace(0, len(values) - 1, min(400, len(values))).astype(int)]
    expected = stats.norm.ppf((np.linspace(0, 1, len(chosen)) * (len(values) - 1) + 0.5) / len(values))
    axes.plot(expected, expected, color=ANOMALOUS, label="Gaussian")
    axes.scatter(expected, (chosen - values.mean()) / values.std(), s=9, color=NORMAL, label="noise map")
    axes.set(title=title, xlabel="quantile of a Gaussian", ylabel="quantile of the map")
    axes.legend()
