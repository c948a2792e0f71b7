"""PatchCore, a rival on a pretrained backbone. Optional, for its weights are a download: pip install timm."""

import numpy as np
import torch
from sklearn.random_projection import GaussianRandomProjection
from torch.nn import functional as F

from radar_nb.rivals.base import Rival, as_float
from radar_nb.storage.errors import Unavailable


class PatchCore(Rival):
    """PatchCore (Roth et al. 2022): distance to the nearest normal feature of a network trained on ImageNet.

    Features of two middle layers, averaged over 3 x 3 places, are kept as a coreset of normal ones. A place
    is as anomalous as its distance to the nearest of them, an image as its worst place. (The paper also
    weighs that worst place by its neighbours; left out.)

    Args:
        backbone: name of a network in timm; layers: which of its stages; share: of the normal features that
            the coreset keeps.
        projected: dimensions in which the coreset is chosen.
        contamination, random_state: as for `Rival`.

    Raises:
        Unavailable: in `fit`: timm is not installed, or the weights are not on this machine and cannot be
            fetched.
    """

    def __init__(self, backbone: str = "wide_resnet50_2", layers: tuple[int, int] = (2, 3),
                 share: float = 0.1, projected: int = 128, contamination: float = 0.05,
                 random_state: int = 0):
        super().__init__(contamination, random_state)
        self.backbone, self.layers, self.share, self.projected = backbone, layers, share, projected

    def _learn(self, images: list[np.ndarray]) -> None:
        self.network_ = _backbone(self.backbone, self.layers)
        features = torch.cat([self._features(image[None]).flatten(0, 2) for image in map(as_float, images)])
        count = max(1, round(self.share * len(features)))
        self.coreset_ = features[_coreset(features.numpy(), count, self.projected, self.random_state)]

    def _measure(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features = self._features(images)
        nearest = [torch.cdist(each.flatten(0, 1), self.coreset_).amin(dim=1) for each in features]
        distances = torch.stack(nearest).unflatten(1, features.shape[1:3])
        maps = F.interpolate(distances[:, None], images.shape[1:3], mode="bilinear")[:, 0]
        return maps.numpy(), distances.amax(dim=(1, 2)).numpy()

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


def _backbone(name: str, layers: tuple[int, ...]) -> torch.nn.Module:
    """A pretrained timm network that gives the features of some of its stages."""
    try:
        import timm
    except ImportError:
        raise Unavailable("PatchCore needs timm, which is not installed; pip install timm") from None
    try:
        return timm.create_model(name, pretrained=True, features_only=True, out_indices=layers).eval()
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
