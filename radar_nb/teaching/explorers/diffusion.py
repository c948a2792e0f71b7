"""Explorers of diffusion: noise an image, and walk back step by step."""

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

import ipywidgets as widgets
import numpy as np
import torch
from diffusers import UNet2DModel
from scipy import stats

from radar_nb.data.images import to_image, to_tensor
from radar_nb.figures import ACCENT, ANOMALOUS, NORMAL
from radar_nb.method.diffusion import add_noise, make_scheduler, reverse_step
from radar_nb.method.unet import predict_noise
from radar_nb.teaching.explorers.panel import (
    Backdrop,
    Explorer,
    coloured,
    dots,
    dropdown,
    enlarged,
    slider,
)
from radar_nb.teaching.explorers.texts import TEXTS


def explore_forward(images: Mapping[str, np.ndarray], seed: int = 0) -> Explorer:
    """Forward diffusion with a slider for t (paper Fig. 2, eq. 1): the noisy image, its values, what is left
    of the image.

    Args:
        images: name to image, see `examples`; seed: of the noise, which stays the same while t moves.
    """
    alphas_cumprod = make_scheduler().alphas_cumprod
    edges, x, words = np.linspace(-4, 4, 61), np.linspace(-4, 4, 200), TEXTS["explore_forward"]
    labels, legend = words["axes"], words["legend"]

    def draw_values(axes):
        axes.plot(x, stats.norm.pdf(x), color=ANOMALOUS, label=legend["gaussian"])
        axes.set(xlim=(-4, 4), ylim=(0, 1.5), xlabel=labels["value"], ylabel=labels["density"])
        axes.legend(loc="upper right")

    def draw_shares(axes):
        axes.plot(alphas_cumprod, color=NORMAL, label=legend["image"])
        axes.plot(1 - alphas_cumprod, color=ANOMALOUS, linestyle="--", label=legend["noise"])
        axes.set(xlim=(0, 999), ylim=(0, 1), xlabel=labels["t"], ylabel=labels["share"])
        axes.legend(loc="center right")

    values, shares = Backdrop(draw_values), Backdrop(draw_shares)

    def draw(image, t):
        x0 = to_tensor(images[image])
        x_t = add_noise(x0, torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed)), t,
                        alphas_cumprod)
        histogram, pen = values.copy()
        values.bars(pen, edges, np.histogram(x_t, edges, density=True)[0])
        curves, pen = shares.copy()
        a_t = float(alphas_cumprod[t])
        (column, top), (_, bottom) = shares.pixels([t, t], [1, 0])
        pen.line((column, top, column, bottom), ACCENT, 4)
        dots(pen, shares.pixels([t, t], [a_t, 1 - a_t]), ACCENT, 7, "black")
        text = words["text"].format(t=t, image_share=a_t ** 0.5, noise_share=(1 - a_t) ** 0.5,
                                    decibel=10 * np.log10(a_t / (1 - a_t)))
        pictures = enlarged(to_image(x_t)), histogram, curves
        return dict(zip(words["titles"].values(), pictures, strict=True)), text

    controls = {"image": dropdown(words["labels"]["image"], images),
                "t": slider(words["labels"]["t"], 200, 0, 999)}
    return Explorer("explore_forward", words["alt"], controls, draw)


def explore_reverse(unet: UNet2DModel, image: np.ndarray, mask: np.ndarray | None = None, steps: int = 20,
                    seed: int = 0) -> Explorer:
    """The reverse process step by step (paper Fig. 2): what goes in, what the U-Net calls noise, its guess,
    what comes out.

    Args:
        image: where the walk starts if not from pure noise; 64 x 64 pixels of it are used.
        mask: `(H, W)` bool; the pixels around it are taken. Without one, those in the middle.
        steps: DDIM steps from the start to the clean image, a U-Net call each.
    """
    alphas_cumprod = make_scheduler().alphas_cumprod
    masked = mask is not None and mask.any()
    centre = np.argwhere(mask).mean(axis=0) if masked else np.array(image.shape[:2]) / 2
    top, left = np.clip(centre - 32, 0, np.maximum(np.array(image.shape[:2]) - 64, 0)).astype(int)
    x0 = to_tensor(image[top:top + 64, left:left + 64])[None]
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed))
    words = TEXTS["explore_reverse"]
    starts = {name: t for t, name in words["starts"].items()}

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
        end = words["end"].format(previous=previous) if previous >= 0 else words["clean"]
        text = words["text"].format(step=step, steps=steps, t=t, end=end)
        pictures = (enlarged(to_image(x[0])), coloured(eps_theta[0].mean(0).numpy(), 3, signed=True),
                    enlarged(to_image(guess[0])), enlarged(to_image(after[0])))
        return dict(zip(words["titles"].values(), pictures, strict=True)), text

    step = slider(words["labels"]["step"], round(0.4 * steps), 1, steps)
    play = widgets.Play(min=1, max=steps, value=step.value, interval=400)
    link = widgets.jslink((play, "value"), (step, "value"))
    controls = {"start": dropdown(words["labels"]["start"], starts), "step": step}
    explorer = Explorer("explore_reverse", words["alt"], controls, draw, [play])
    explorer.link = link  # keeps it alive
    return explorer
