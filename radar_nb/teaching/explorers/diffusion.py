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


def explore_forward(images: Mapping[str, np.ndarray], seed: int = 0) -> Explorer:
    """Forward diffusion with a slider for t (paper Fig. 2, eq. 1): the noisy image, its values, what is left
    of the image.

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
        x_t = add_noise(x0, torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed)), t,
                        alphas_cumprod)
        histogram, pen = values.copy()
        values.bars(pen, edges, np.histogram(x_t, edges, density=True)[0])
        curves, pen = shares.copy()
        a_t = float(alphas_cumprod[t])
        (column, top), (_, bottom) = shares.pixels([t, t], [1, 0])
        pen.line((column, top, column, bottom), ACCENT, 4)
        dots(pen, shares.pixels([t, t], [a_t, 1 - a_t]), ACCENT, 7, "black")
        text = (f"t = {t}: each pixel is {a_t ** 0.5:.2f} times the image plus {(1 - a_t) ** 0.5:.2f} times "
                f"noise. Signal-to-noise ratio {10 * np.log10(a_t / (1 - a_t)):.1f} dB.")
        return {"x_t": enlarged(to_image(x_t)), "its values": histogram, "what is left": curves}, text

    controls = {"image": dropdown("image", images), "t": slider("timestep t", 200, 0, 999)}
    alt = ("Forward diffusion: the noisy image, the histogram of its values beside the Gaussian curve, and "
           "the shares of image and noise.")
    return Explorer("explore_forward", alt, controls, draw)


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
    starts = {"pure noise, t = 999": 999, "the image with noise, t = 500": 500,
              "the image with noise, t = 200": 200}

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
        end = f"t = {previous}" if previous >= 0 else "the clean image"
        text = f"Step {step} of {steps}: from t = {t} to {end}."
        noise = coloured(eps_theta[0].mean(0).numpy(), 3, signed=True)
        return {"x_t goes in": enlarged(to_image(x[0])), "what the U-Net calls noise": noise,
                "its guess of the image": enlarged(to_image(guess[0])),
                "a step further": enlarged(to_image(after[0]))}, text

    step = slider("step", round(0.4 * steps), 1, steps)
    play = widgets.Play(min=1, max=steps, value=step.value, interval=400)
    link = widgets.jslink((play, "value"), (step, "value"))
    controls = {"start": dropdown("start from", starts), "step": step}
    alt = ("The reverse process: a noisy patch, the noise that the U-Net sees in it, its guess of the clean "
           "patch, and the patch one step further.")
    explorer = Explorer("explore_reverse", alt, controls, draw, [play])
    explorer.link = link  # keeps it alive
    return explorer
