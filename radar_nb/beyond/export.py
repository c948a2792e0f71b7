"""RADAR as one ONNX model, for programs without Python: from an image to its maps and features."""

import json
import warnings
from pathlib import Path

import torch
from torch.nn import functional as F

from radar_nb.beyond.onnx import to_onnx, with_metadata
from radar_nb.method.detector import RadarDetector
from radar_nb.method.diffusion import add_noise, make_scheduler
from radar_nb.method.features import blur_weights, sobel_weights
from radar_nb.method.unet import fold_factor, grid_size, image_channels
from radar_nb.storage.errors import InputError
from radar_nb.storage.pretrained import PLAIN as PLAIN_OPTIONS
from radar_nb.storage.whole import whole_file

OUTPUTS = ("noise_map", "sobel_map", "features")
# What the graph computes with, and what comes after the features. Any other option must have its plain value.
_IN_THE_GRAPH = {"timestep", "reading", "unet", "blur", "sobel", "window"}
_AFTER_THE_FEATURES = {"contamination", "random_state", "training", "decision", "calibration_points",
                       "one_sided", "smoothing",
                       "pixel_quantile", "calibration_share", "batch_size", "patch_size"}
_LEFT_TO_THE_CALLER = {"longest_side", "tile"}  # of the images: written into the file's metadata


class RadarGraph(torch.nn.Module):
    """The paper's Fig. 1 up to the Isolation Forest, in PyTorch alone, at one timestep.

    Takes `image` `(N, C, H, W)` in [-1, 1], sides multiples of the U-Net's grid. With the readings that add
    noise it takes `eps` too, one Gaussian draw `(1, C, H, W)` for all. Gives `noise_map` `(N, C, H, W)`,
    `sobel_map` `(N, 1, H, W)` and `features` `(N, 2)`, global and local norm; see `radar_nb.method.features`.
    """

    def __init__(self, detector: RadarDetector):
        super().__init__()
        self.unet, self.timestep, self.reading = detector.unet_, detector._timesteps()[0], detector.reading
        self.window, self.channels = detector.window, image_channels(self.unet)
        self.fold = fold_factor(self.unet)
        self.alphas_cumprod = make_scheduler().alphas_cumprod
        weights = torch.from_numpy(blur_weights(detector.blur)).float()
        smooth, difference = (torch.from_numpy(part).float() for part in sobel_weights(detector.sobel))
        self.blur = torch.outer(weights, weights)[None, None].repeat(self.channels, 1, 1, 1)
        kernels = torch.stack([torch.outer(difference, smooth), torch.outer(smooth, difference)])
        self.sobel = kernels[:, None].repeat(self.channels, 1, 1, 1)

    def forward(self, image: torch.Tensor, eps: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
        """See the class."""
        noisy = self.reading != "noise_free"
        x = add_noise(image, eps, self.timestep, self.alphas_cumprod) if noisy else image
        folded = self.unet(F.pixel_unshuffle(x, self.fold), self.timestep).sample
        noise_map = F.pixel_shuffle(folded, self.fold)
        noise_map = noise_map - eps if self.reading == "residual" else noise_map
        gradients = _correlate(_correlate(noise_map, self.blur), self.sobel)
        energy = gradients.square().sum(dim=1, keepdim=True)
        local = F.avg_pool2d(energy, self.window, stride=1).amax(dim=(1, 2, 3))
        return noise_map, energy.sqrt(), torch.stack([energy.mean(dim=(1, 2, 3)), local], dim=1).sqrt()


def _correlate(maps: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Each channel with its kernels; beyond the edge the map is mirrored, as SciPy's `reflect` does."""
    for axis in (-2, -1):
        reach = kernels.shape[-1] // 2
        if reach:
            first, last = maps.narrow(axis, 0, reach), maps.narrow(axis, maps.shape[axis] - reach, reach)
            maps = torch.cat([first.flip(axis), maps, last.flip(axis)], dim=axis)
    return F.conv2d(maps, kernels, groups=maps.shape[1])


def export(detector: RadarDetector, path: str | Path) -> None:
    """Write a fitted detector as one ONNX model, up to its features; see `RadarGraph` for its inputs.

    The threshold and the forest are not in it: `features` beyond those of calibration images are anomalous.
    All settings stand in the file's metadata, as JSON under `radar`. What is left to the caller
    (`longest_side`: images are shrunk first) is said in a warning too.

    Raises:
        InputError: an option that the model cannot hold, or onnx is not installed.
    """
    settings, _ = detector._state()
    plain = RadarDetector().get_params(deep=False)
    held = _IN_THE_GRAPH | _AFTER_THE_FEATURES | _LEFT_TO_THE_CALLER
    for name, value in detector.get_params(deep=False).items():
        ours = plain.get(name, PLAIN_OPTIONS.get(name))
        if name not in held and value != ours:
            raise InputError(f"{name}={value!r}: an exported model holds {name}={ours!r} only")
    if len(detector._timesteps()) > 1:
        raise InputError(f"timestep={detector.timestep}: an exported model holds one timestep")
    if detector.longest_side:
        warnings.warn(f"longest_side={detector.longest_side} is not in the model: shrink larger images to "
                      "that many pixels before they go in", stacklevel=2)
    grid = grid_size(detector.unet_)
    side = grid * -(-max(detector.window, 2 * grid) // grid)
    example = torch.zeros(2, detector.channels_, side, side + grid)
    inputs = {"image": example} | ({} if detector.reading == "noise_free" else {"eps": example[:1]})
    model = to_onnx(RadarGraph(detector).eval(), inputs, OUTPUTS, flat=("features",))
    with whole_file(path) as work:
        work.write_bytes(with_metadata(model, {"radar": json.dumps(settings)}))
