"""What one U-Net call says about an image, as three views on one coarse grid: cells of 4 x 4 pixels.

* `sobel`: energy of the Sobel gradient of the noise map, the paper's own reading.
* `noise`: local mean and energy of the noise map at two scales. Tweedie's formula (Robbins 1956; Song and
  Ermon 2019) makes the predicted noise a multiple of the score, the gradient of log p(x_t); on normal images
  it is centred and of a usual size, and where it is not, the image does not fit the learnt density.
* `hidden`: outputs of the last two up-blocks. What a denoiser computes there separates parts of images
  without labels (Baranchuk et al. 2022, ddpm-segmentation).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional as F

from radar_nb.method.features import blur, sobel_magnitude
from radar_nb.method.unet import grid_size
from radar_nb.storage.errors import InputError

CELL = 4  # side of a cell, pixels
VIEWS = ("sobel", "noise", "hidden")


@contextmanager
def hidden_layers(unet: torch.nn.Module) -> Iterator[list[torch.Tensor]]:
    """Collect the outputs of the last two up-blocks of each call inside: `(N, K, h, w)` tensors, in a list.

    Raises:
        InputError: the network has no layers to look into (ONNX Runtime).
    """
    if not hasattr(unet, "up_blocks"):
        raise InputError("unet: this engine shows no hidden layers, which the fused detector reads; "
                         "use the U-Net in PyTorch (--engine torch)")
    found: list[torch.Tensor] = []
    hooks = [block.resnets[-1].register_forward_hook(lambda _module, _inputs, output: found.append(output))
             for block in unet.up_blocks[-2:]]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def cell_views(noise: torch.Tensor, hidden: list[torch.Tensor], unet: torch.nn.Module) -> list[np.ndarray]:
    """The three `VIEWS` of a batch.

    Args:
        noise: noise maps `(N, C, H, W)`; hidden: what `hidden_layers` collected in their call.

    Returns:
        an array `(N, K, ceil(H / 4), ceil(W / 4))` float32 for each view.
    """
    sobel = np.square(sobel_magnitude(blur(noise.numpy())))
    energy = _smooth(cells(torch.from_numpy(sobel)[:, None]), 3)
    means, squares = cells(noise), cells(noise.square())
    local = [np.log(_smooth(squares, scale) + 1e-4) for scale in (2, 4)]
    local += [_smooth(means, scale) for scale in (2, 4)]
    height, width = noise.shape[-2:]
    grid = grid_size(unet)
    padded = [-(-side // grid) * grid for side in (height, width)]  # as `predict_noise` pads
    shape = [-(-side // CELL) for side in padded]
    layers = [_on_grid(layer.float(), shape) for layer in hidden]
    features = torch.cat(layers, dim=1)[..., :-(-height // CELL), :-(-width // CELL)]
    return [np.log(energy + 1e-6), np.concatenate(local, axis=1), features.numpy()]


def surroundings(images: torch.Tensor) -> np.ndarray:
    """Local brightness, deviation and gradient of images `(N, C, H, W)` in [-1, 1], their products, and how
    near the edge is.

    What is usual in a place depends on them: bright or rough places are louder, and so are those next to
    the edge, beyond which the network cannot see. Ten numbers a cell: `(N, 10, h, w)` float32.
    """
    grey = images.float().mean(dim=1, keepdim=True) / 2 + 0.5
    across, down = F.pad(grey.diff(dim=3), (0, 1, 0, 0)), F.pad(grey.diff(dim=2), (0, 0, 0, 1))
    gradient = cells((across.square() + down.square()).sqrt())
    mean, square = _smooth(cells(grey), 4), _smooth(cells(grey.square()), 4)
    deviation = 0.5 * np.log(np.maximum(square - mean**2, 0) + 2e-5)
    first = np.concatenate([mean, deviation, np.log(_smooth(gradient, 4) + 2e-3)], axis=1)
    pairs = [first[:, [i]] * first[:, [j]] for i in range(3) for j in range(i, 3)]
    rows, columns = (np.minimum(np.arange(side), np.arange(side)[::-1]) for side in first.shape[2:])
    edge = np.exp(-np.minimum(rows[:, None], columns) / 2).astype(np.float32)
    return np.concatenate([first, *pairs, np.broadcast_to(edge, mean.shape)], axis=1)


def cells(maps: torch.Tensor) -> torch.Tensor:
    """Mean over each cell, also over those that the edge cuts: `(N, C, H, W)` to the grid."""
    return F.avg_pool2d(maps, CELL, ceil_mode=True, count_include_pad=False)


def within_the_image(maps: np.ndarray) -> np.ndarray:
    """Two readings of maps `(..., h, w)`, each beside what is usual in its own image: `(2, ..., h, w)`.

    The first is minus the median of each row, then of each column. Grinding marks, edges of a part and a lamp
    at one side make whole rows and columns louder; a defect is shorter than half of them, and moves no
    median. The second is minus the median of the image, for defects so large that the first loses them.
    Both take off what the whole image shares, such as exposure and focus.
    """
    rows = maps - np.median(maps, axis=-1, keepdims=True)
    columns = rows - np.median(rows, axis=-2, keepdims=True)
    return np.stack([columns, maps - np.median(maps, axis=(-2, -1), keepdims=True)])


def _smooth(maps: torch.Tensor, scale: float) -> np.ndarray:
    """Gaussian blur of maps on the grid; `scale` is the deviation in pixels, the cell's own is taken off."""
    own = (CELL**2 - 1) / 12  # variance of a box of CELL pixels
    deviation = max(scale**2 - own, 0) ** 0.5 / CELL
    return ndimage.gaussian_filter(maps.numpy(), (0, 0, deviation, deviation))


def _on_grid(layer: torch.Tensor, shape: list[int]) -> torch.Tensor:
    """A hidden layer, averaged over 3 x 3 places, at `shape`."""
    smooth = F.avg_pool2d(layer, 3, stride=1, padding=1, count_include_pad=False)
    if layer.shape[-2] >= shape[0]:
        return F.adaptive_avg_pool2d(smooth, shape)
    return F.interpolate(smooth, shape, mode="bilinear")
