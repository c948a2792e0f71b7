"""RADAR as one ONNX model: from an image to noise map, Sobel map and both features, for programs without Python."""

from pathlib import Path

import torch
from diffusers import UNet2DModel
from torch.nn import functional as F

from radar_nb.method.diffusion import fold_factor, grid_size, image_channels
from radar_nb.beyond.onnx import to_onnx
from radar_nb.storage.whole import whole_file

OUTPUTS = ("noise_map", "sobel_map", "features")


class RadarGraph(torch.nn.Module):
    """The paper's Fig. 1 up to the Isolation Forest, in PyTorch alone, for the noise-free reading at one timestep.

    Takes `image` `(N, C, H, W)` in [-1, 1], sides multiples of the U-Net's grid. Gives `noise_map` `(N, C, H, W)`, `sobel_map`
    `(N, 1, H, W)` and `features` `(N, 2)`, global and local norm; see `radar_nb.method.features`.
    """

    def __init__(self, unet: UNet2DModel, timestep: int, window: int):
        super().__init__()
        self.unet, self.timestep, self.window = unet, timestep, window
        self.fold, self.channels = fold_factor(unet), image_channels(unet)
        across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
        self.register_buffer("kernels", torch.stack([across, across.T])[:, None].repeat(self.channels, 1, 1, 1))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See the class."""
        folded = self.unet(F.pixel_unshuffle(image, self.fold), self.timestep).sample
        noise_map = F.pixel_shuffle(folded, self.fold)
        padded = F.pad(noise_map, (1, 1, 1, 1), mode="replicate")  # one pixel: what SciPy calls reflect
        gradients = F.conv2d(padded, self.kernels, groups=self.channels)
        energy = gradients.square().sum(dim=1, keepdim=True)
        local = F.avg_pool2d(energy, self.window, stride=1).amax(dim=(1, 2, 3))
        return noise_map, energy.sqrt(), torch.stack([energy.mean(dim=(1, 2, 3)), local], dim=1).sqrt()


def write_onnx(path: str | Path, unet: UNet2DModel, timestep: int, window: int) -> None:
    """Write `RadarGraph` of a U-Net as an ONNX file. Raises InputError where onnx is not installed."""
    grid = grid_size(unet)
    side = grid * -(-max(window, 2 * grid) // grid)
    example = torch.zeros(2, image_channels(unet), side, side + grid)
    model = to_onnx(RadarGraph(unet, timestep, window).eval(), example, "image", OUTPUTS, flat=("features",))
    with whole_file(path) as work:
        work.write_bytes(model)
