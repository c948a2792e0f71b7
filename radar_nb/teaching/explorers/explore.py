"""Explorers: move a slider, see what the method does. Painting a defect has a module of its own, `paint`.

Each function returns a widget for JupyterLab that is also a still picture with alt text where no kernel runs.
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

import ipywidgets as widgets
import numpy as np
import torch
from diffusers import UNet2DModel
from PIL import ImageDraw
from scipy import stats

from radar_nb.data.dataset import Dataset
from radar_nb.method.detector import RadarDetector
from radar_nb.method.diffusion import add_noise, make_scheduler, reverse_step
from radar_nb.method.noise_map import READINGS, noise_map, whole_image
from radar_nb.method.unet import grid_size, predict_noise
from radar_nb.method.noise_map import gaussian_statistics
from radar_nb.figures import ACCENT, ANOMALOUS, NORMAL
from radar_nb.method.forest import QuickIsolationForest
from radar_nb.data.images import to_image, to_tensor
from radar_nb.teaching.explorers.panel import (
    Backdrop, Explorer, coloured, cross, described, dots, dropdown, enlarged, magnification, slider,
)


def examples(data: Dataset) -> dict[str, np.ndarray]:
    """A test image of each kind by name, a normal one first."""
    kinds = sorted(dict.fromkeys(data.kinds), key=lambda kind: kind != "good")
    return {kind: data.test[data.kinds.index(kind)] for kind in kinds}


def explore_forward(images: Mapping[str, np.ndarray], seed: int = 0) -> Explorer:
    """Forward diffusion with a slider for t (paper Fig. 2, eq. 1): the noisy image, its values, what is left of the image.

    Args:
        images: name to image, see `examples`; seed: of the noise, which stays the same while t moves.
    """
    alphas_cumprod = make_scheduler().alphas_cumprod
    edges, x = np.linspace(-4, 4, 61), np.linspace(-4, 4, 200)

    def draw_values(axes):
        axes.plot(x, stats.norm.pdf(x), color=ANOMALOUS, label="Gaussian")
        axes.set(xlim=(-4, 4), ylim=(0, 1.5), xlabel="value of a pixel of x_t", ylabel="density")
        axes.legend(loc="upper right")

    def draw_shares(axes):
        axes.plot(alphas_cumprod, color=NORMAL, label="image")
        axes.plot(1 - alphas_cumprod, color=ANOMALOUS, linestyle="--", label="noise")
        axes.set(xlim=(0, 999), ylim=(0, 1), xlabel="timestep t", ylabel="share of the variance")
        axes.legend(loc="center right")

    values, shares = Backdrop(draw_values), Backdrop(draw_shares)

    def draw(image, t):
        x0 = to_tensor(images[image])
        x_t = add_noise(x0, torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed)), t, alphas_cumprod)
        histogram, pen = values.copy()
        values.bars(pen, edges, np.histogram(x_t, edges, density=True)[0])
        curves, pen = shares.copy()
        a_t = float(alphas_cumprod[t])
        (column, top), (_, bottom) = shares.pixels([t, t], [1, 0])
        pen.line((column, top, column, bottom), ACCENT, 4)
        dots(pen, shares.pixels([t, t], [a_t, 1 - a_t]), ACCENT, 7, "black")
        text = (f"t = {t}: each pixel is {a_t ** 0.5:.2f} times the image plus {(1 - a_t) ** 0.5:.2f} times noise. "
                f"Signal-to-noise ratio {10 * np.log10(a_t / (1 - a_t)):.1f} dB.")
        return {"x_t": enlarged(to_image(x_t)), "its values": histogram, "what is left": curves}, text

    controls = {"image": dropdown("image", images), "t": slider("timestep t", 200, 0, 999)}
    return Explorer("explore_forward", "Forward diffusion: the noisy image, the histogram of its values beside the Gaussian curve, "
                    "and the shares of image and noise.", controls, draw)


def explore_reverse(unet: UNet2DModel, image: np.ndarray, mask: np.ndarray | None = None, steps: int = 20, seed: int = 0) -> Explorer:
    """The reverse process step by step (paper Fig. 2): what goes in, what the U-Net calls noise, its guess, what comes out.

    Args:
        image: where the walk starts if not from pure noise; 64 x 64 pixels of it are used.
        mask: `(H, W)` bool; the pixels around it are taken. Without one, those in the middle.
        steps: DDIM steps from the start to the clean image, a U-Net call each.
    """
    alphas_cumprod = make_scheduler().alphas_cumprod
    centre = np.argwhere(mask).mean(axis=0) if mask is not None and mask.any() else np.array(image.shape[:2]) / 2
    top, left = np.clip(centre - 32, 0, np.maximum(np.array(image.shape[:2]) - 64, 0)).astype(int)
    x0 = to_tensor(image[top:top + 64, left:left + 64])[None]
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed))
    starts = {"pure noise, t = 999": 999, "the image with noise, t = 500": 500, "the image with noise, t = 200": 200}

    @lru_cache
    @torch.inference_mode()
    def walk(start):
        x, seen = eps if start == 999 else add_noise(x0, eps, start, alphas_cumprod), []
        for t, previous in pairwise(torch.linspace(start, -1, steps + 1).round().int().tolist()):
            eps_theta = predict_noise(unet, x, t)
            guess = ((x - (1 - alphas_cumprod[t]).sqrt() * eps_theta) / alphas_cumprod[t].sqrt()).clamp(-1, 1)
            after = reverse_step(x, eps_theta, t, previous, alphas_cumprod)
            seen.append((t, previous, x, eps_theta, guess, after))
            x = after
        return seen

    def draw(start, step):
        t, previous, x, eps_theta, guess, after = walk(starts[start])[step - 1]
        text = f"Step {step} of {steps}: from t = {t} to " + (f"t = {previous}." if previous >= 0 else "the clean image.")
        noise = coloured(eps_theta[0].mean(0).numpy(), 3, signed=True)
        return {"x_t goes in": enlarged(to_image(x[0])), "what the U-Net calls noise": noise,
                "its guess of the image": enlarged(to_image(guess[0])), "a step further": enlarged(to_image(after[0]))}, text

    step = slider("step", round(0.4 * steps), 1, steps)
    play = widgets.Play(min=1, max=steps, value=step.value, interval=400)
    link = widgets.jslink((play, "value"), (step, "value"))
    controls = {"start": dropdown("start from", starts), "step": step}
    explorer = Explorer("explore_reverse", "The reverse process: a noisy patch, the noise that the U-Net sees in it, its guess of the "
                        "clean patch, and the patch one step further.", controls, draw, [play])
    explorer.link = link  # or it would be forgotten
    return explorer


def attention_weights(unet: UNet2DModel, x: torch.Tensor, timestep: int, layer: str) -> np.ndarray:
    """What each place of an attention layer looks at (paper Fig. 5): `(places, places)`, rows add to 1; the mean over the heads.

    Args:
        x: `(1, C, H, W)`; layer: name of the layer, one of `attention_layers`.
    """
    module, kept = unet.get_submodule(layer), {}
    hooks = [getattr(module, f"to_{name}").register_forward_hook(lambda _, __, output, name=name: kept.update({name: output}))
             for name in "qk"]
    with torch.inference_mode():
        predict_noise(unet, x, timestep)
    for hook in hooks:
        hook.remove()
    q, k = (kept[name].unflatten(-1, (module.heads, -1)).transpose(1, 2) for name in "qk")
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1).mean(1)[0].float().cpu().numpy()


def attention_layers(unet: UNet2DModel) -> list[str]:
    """Names of the U-Net's attention layers at its lowest resolution, on the way down first."""
    layers = [name for name, module in unet.named_modules() if hasattr(module, "to_q")]
    return sorted(layers, key=lambda name: ("down", "mid", "up").index(name.split("_")[0]))


def explore_attention(unet: UNet2DModel, image: np.ndarray) -> Explorer:
    """Click on a place of the image: where does it look (paper Fig. 5)? Sliders for row and column do the same.

    Raises:
        ValueError: the U-Net has no attention.
    """
    layers = attention_layers(unet)
    if not layers:
        raise ValueError("unet: no attention layer found; build it with attention=True")
    grid = grid_size(unet)  # pixels a side that one place stands for
    rows, columns = (-(-side // grid) for side in image.shape[:2])
    side = grid * magnification(image.shape)
    weights_of = lru_cache(lambda t, layer: attention_weights(unet, to_tensor(image)[None], t, layer))

    def draw(row, column, t, layer):
        weights = weights_of(t, layer)[row * columns + column]
        map_ = np.kron(weights.reshape(rows, columns), np.ones((grid, grid)))[:image.shape[0], :image.shape[1]]
        shown, looked_at = enlarged(image), coloured(map_ - weights.min(), float(weights.max() - weights.min()))
        for picture in (shown, looked_at):
            cross(ImageDraw.Draw(picture), (column + 0.5) * side, (row + 0.5) * side, ANOMALOUS)
        half = int(np.searchsorted(np.cumsum(np.sort(weights)[::-1]), 0.5)) + 1
        best = int(weights.argmax())
        text = (f"The place in row {row}, column {column} gives half of its attention to {half} of {len(weights)} places, most of all "
                f"to row {best // columns}, column {best % columns}: {weights.max():.2%}. "
                f"Spread evenly it would be {1 / len(weights):.2%} each; the colours run from {weights.min():.2%} to {weights.max():.2%}.")
        return {"click a place": shown, "where it looks": looked_at}, text

    controls = {"row": slider("row", rows // 2, 0, rows - 1), "column": slider("column", columns // 2, 0, columns - 1),
                "t": slider("timestep t", 200, 0, 999), "layer": dropdown("layer", layers)}
    explorer = Explorer("explore_attention", "An image with a cross on one place, and the attention of that place to all others.",
                        controls, draw)

    def clicked(_, x, y):
        explorer.set(row=int(np.clip(y // side, 0, rows - 1)), column=int(np.clip(x // side, 0, columns - 1)))

    for title in explorer.pictures:
        explorer.on_mouse(title, ["click"], clicked)
    return explorer


def explore_noise_map(unet: UNet2DModel, images: Mapping[str, np.ndarray], seed: int = 0) -> Explorer:
    """The noise map by image, t and reading, and how Gaussian it is (paper Fig. 4, eq. 3).

    Args:
        images: name to image, see `examples`; seed: of the noise of the readings that add some.
    """
    x, edges, spread = np.linspace(-8, 8, 200), np.linspace(-8, 8, 65), (-8, 8)

    def draw_values(axes):
        axes.plot(x, stats.norm.pdf(x), color=ANOMALOUS, label="Gaussian")
        axes.set(xlim=spread, ylim=(1e-4, 3), yscale="log", xlabel="value, in deviations of the map", ylabel="density (log scale)")
        axes.legend(loc="upper right")

    def draw_line(axes):
        axes.plot([-4, 4], [-4, 4], color=ANOMALOUS, label="Gaussian")
        axes.set(xlim=(-4, 4), ylim=spread, xlabel="quantile of a Gaussian", ylabel="quantile of the map")
        axes.legend(loc="upper left")

    values, line = Backdrop(draw_values), Backdrop(draw_line)

    def draw(image, t, reading):
        x0 = to_tensor(images[image])[None]
        eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed))
        map_ = noise_map(whole_image(unet), x0, t, reading, eps)[0].mean(0).numpy()
        standard = np.sort((map_ - map_.mean()).ravel() / map_.std())
        histogram, pen = values.copy()
        values.bars(pen, edges, np.histogram(standard, edges, density=True)[0])
        expected = np.linspace(*stats.norm.ppf([0.5 / len(standard), 1 - 0.5 / len(standard)]), 120)
        quantiles, pen = line.copy()
        dots(pen, line.inside(line.pixels(expected, standard[(stats.norm.cdf(expected) * len(standard)).astype(int)])), NORMAL, 4)
        limit, found = 1.5 if reading == "noise_free" or t < 10 else 3, gaussian_statistics(map_)
        text = (f"{image}, t = {t}, {reading}: deviation {found['std']:.2f}, excess kurtosis {found['excess_kurtosis']:.1f}, KS distance "
                f"{found['ks_distance']:.2f} (a Gaussian has 0 and 0). Colours run from -{limit} to {limit}.")
        return {"image": enlarged(images[image]), "noise map": coloured(map_, limit, signed=True), "histogram": histogram,
                "Q-Q plot": quantiles}, text

    reading = widgets.ToggleButtons(options=READINGS, **described("reading") | {"layout": {"width": "48em"}})
    controls = {"image": dropdown("image", images, 1), "t": slider("timestep t", 1, 0, 999), "reading": reading}
    return Explorer("explore_noise_map", "An image, its noise map, the histogram of the map and its Q-Q plot against a Gaussian.",
                    controls, draw)


def explore_features(detector: RadarDetector, features: np.ndarray, labels: np.ndarray) -> Explorer:
    """The feature plane with the Isolation Forest's boundary, by contamination and by how many points it has learnt from (paper Fig. 1).

    Args:
        detector: fitted; features: of the images to judge, `(N, 2)`; labels: `(N,)` bool, True for defective.
    """
    labels, learnt = np.asarray(labels, bool), detector.calibration_features_
    counts = sorted({count for count in (5, 10, 20, 40, 80) if count < len(learnt)} | {len(learnt)}, reverse=True)
    both = np.concatenate([features, learnt])
    low, high = both.min(axis=0), both.max(axis=0)
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)

    def draw_points(axes):
        for value, colour, marker, name in ((False, NORMAL, "o", "normal"), (True, ANOMALOUS, "^", "defective")):
            axes.scatter(*features[labels == value].T, s=26, c=colour, marker=marker, label=name, alpha=0.8)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="global norm", ylabel="local norm")
        axes.legend(loc="lower right")

    plane = Backdrop(draw_points, width=5.5, height=4)
    grid = np.stack(np.meshgrid(np.linspace(low[0], high[0], 160), np.linspace(high[1], low[1], 110)), axis=-1)  # first row on top

    @lru_cache
    def forest_of(count):
        points = learnt[np.random.default_rng(0).permutation(len(learnt))[:count]]
        forest = QuickIsolationForest(n_estimators=100, random_state=detector.random_state).fit(points)
        return points, *(forest.score_samples(values) for values in (points, grid.reshape(-1, 2), features))

    def draw(contamination, count):
        points, own, everywhere, scores = forest_of(count)
        threshold = np.quantile(own, contamination)
        picture, pen = plane.copy()
        plane.tint(picture, (everywhere >= threshold).reshape(grid.shape[:2]), NORMAL)
        if count < 40:
            dots(pen, plane.pixels(*points.T), ACCENT, 7, "black")
        called = scores < threshold
        alarms, found, good = int(called[~labels].sum()), int(called[labels].sum()), int((~labels).sum())
        text = (f"contamination {contamination:.2f}, learnt from {count} points. False alarms: {alarms} of {good} normal images. "
                f"Found: {found} of {int(labels.sum())} defective images. Shaded: what the forest calls normal."
                + (" Orange: what it has learnt from." if count < 40 else ""))
        return {"feature plane": picture}, text

    controls = {"contamination": slider("contamination", 0.05, 0.01, 0.5, 0.01),
                "count": widgets.SelectionSlider(options=counts, **described("learnt from"))}
    return Explorer("explore_features", "Test images as points in the plane of global and local norm, and the region that the Isolation "
                    "Forest calls normal.", controls, draw)
