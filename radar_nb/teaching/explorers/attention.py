"""Explorer of attention: click on a place, and see where it looks."""

from functools import lru_cache

import numpy as np
import torch
from diffusers import UNet2DModel
from PIL import ImageDraw

from radar_nb.data.images import to_tensor
from radar_nb.figures import ANOMALOUS
from radar_nb.method.unet import grid_size, predict_noise
from radar_nb.teaching.explorers.panel import (
    Explorer,
    coloured,
    cross,
    dropdown,
    enlarged,
    magnification,
    slider,
)
from radar_nb.teaching.explorers.texts import TEXTS


def attention_weights(unet: UNet2DModel, x: torch.Tensor, timestep: int, layer: str) -> np.ndarray:
    """What each place of an attention layer looks at (paper Fig. 5): `(places, places)`, rows add to 1; the
    mean over the heads.

    Args:
        x: `(1, C, H, W)`; layer: name of the layer, one of `attention_layers`.
    """
    module, kept = unet.get_submodule(layer), {}
    hooks = [module.get_submodule(f"to_{name}").register_forward_hook(
        lambda _, __, output, name=name: kept.update({name: output})) for name in "qk"]
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
    """Click on a place of the image: where does it look (paper Fig. 5)? Sliders for row and column do the
    same.

    Raises:
        ValueError: the U-Net has no attention.
    """
    layers = attention_layers(unet)
    if not layers:
        raise ValueError("unet: no attention layer found; build it with attention=True")
    grid = grid_size(unet)  # pixels a side that one place stands for
    rows, columns = (-(-side // grid) for side in image.shape[:2])
    side, words = grid * magnification(image.shape), TEXTS["explore_attention"]
    weights_of = lru_cache(lambda t, layer: attention_weights(unet, to_tensor(image)[None], t, layer))

    def draw(row, column, t, layer):
        weights = weights_of(t, layer)[row * columns + column]
        map_ = np.kron(weights.reshape(rows, columns), np.ones((grid, grid)))
        map_ = map_[:image.shape[0], :image.shape[1]] - weights.min()
        shown, looked_at = enlarged(image), coloured(map_, float(weights.max() - weights.min()))
        for picture in (shown, looked_at):
            cross(ImageDraw.Draw(picture), (column + 0.5) * side, (row + 0.5) * side, ANOMALOUS)
        half = int(np.searchsorted(np.cumsum(np.sort(weights)[::-1]), 0.5)) + 1
        best = int(weights.argmax())
        text = words["text"].format(
            row=row, column=column, half=half, places=len(weights), best_row=best // columns,
            best_column=best % columns, most=weights.max(), least=weights.min(), even=1 / len(weights))
        return dict(zip(words["titles"].values(), (shown, looked_at), strict=True)), text

    labels = words["labels"]
    controls = {"row": slider(labels["row"], rows // 2, 0, rows - 1),
                "column": slider(labels["column"], columns // 2, 0, columns - 1),
                "t": slider(labels["t"], 200, 0, 999), "layer": dropdown(labels["layer"], layers)}
    explorer = Explorer("explore_attention", words["alt"], controls, draw)

    def clicked(_, x, y):
        explorer.set(row=int(np.clip(y // side, 0, rows - 1)), column=int(np.clip(x // side, 0, columns - 1)))

    for title in explorer.pictures:
        explorer.on_mouse(title, ["click"], clicked)
    return explorer
