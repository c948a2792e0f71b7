"""How fast is RADAR beside anomalib's PatchCore and EfficientAD-S? In turns, in one process, 256 x 256, batch
1, on a CPU.

anomalib wants other packages than the kit, so run it in an environment of its own, from the repository's
root:

    python -m venv rivals
    rivals/bin/pip install -e ".[fast]" anomalib openvino
    rivals/bin/python docs/rivals.py [--threads 2] [--rounds 20]

All weights are random, for no time depends on them, and no score here means anything. The rivals get an RGB
tensor that is there already and are timed from it to score and map; RADAR gets a grey uint8 image (and again
an RGB one) and is timed over all of `score_samples`. PatchCore's memory bank has 10 % of the patches of
`BANK_IMAGES` images, as random rows: how many there are decides the time, not which. Real data sets have more
images, and cost PatchCore more. OpenVINO is what anomalib deploys to, ONNX Runtime what the kit does.
"""

import argparse
import warnings
from functools import partial

import numpy as np
import torch
from anomalib.models.image.efficient_ad.torch_model import (
    EfficientAdModel,
    EfficientAdModelSize,
)
from anomalib.models.image.patchcore.torch_model import PatchcoreModel

from radar_nb.data.printed import make_image
from radar_nb.experiments.networks import FAST, untrained
from radar_nb.experiments.timing import Job, measure
from radar_nb.method.detector import RadarDetector

SIDE, BANK_IMAGES = 256, 50


class Rival(torch.nn.Module):
    """A model of anomalib that answers with two tensors, score and map, which can be traced."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model.eval()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`(1, 3, H, W)` to the score and the map."""
        answer = self.model(x)
        return answer.pred_score, answer.anomaly_map


def patchcore(backbone: str, images: torch.Tensor) -> Rival:
    """PatchCore on layers 2 and 3, with a memory bank of 10 % of the patches of `(N, 3, H, W)`."""
    model = PatchcoreModel(layers=["layer2", "layer3"], backbone=backbone, pre_trained=False).train()
    with torch.no_grad():
        rows = torch.cat([model(image[None]) for image in images])
    model.embedding_store.clear()
    model.memory_bank = rows[torch.randperm(len(rows))[:len(rows) // 10]].clone()
    return Rival(model)


def efficient_ad() -> Rival:
    """EfficientAD-S; its statistics are set, so that it scales its maps as a trained one does."""
    model = EfficientAdModel(model_size=EfficientAdModelSize.S)
    with torch.no_grad():
        for name, value in {"qa_st": 0.1, "qb_st": 0.5, "qa_ae": 0.1, "qb_ae": 0.5}.items():
            model.quantiles[name].fill_(value)
        model.mean_std["std"].fill_(0.3)
    return Rival(model)


def rival_jobs(name: str, model: Rival, image: torch.Tensor) -> list[Job]:
    """A rival in PyTorch and in OpenVINO, which is prepared for this one shape."""
    import openvino

    def in_torch(_: int) -> tuple:
        with torch.inference_mode():
            return model(image)

    with torch.inference_mode():
        converted = openvino.convert_model(model, example_input=image)
    converted.reshape(list(image.shape))
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY",
               "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    request = openvino.Core().compile_model(converted, "CPU", options).create_infer_request()
    array = image.contiguous().numpy()
    return [Job(name, "torch", in_torch, SIDE, SIDE),
            Job(name, "openvino", lambda _: request.infer([array]), SIDE, SIDE)]


def our_jobs(images: np.ndarray) -> list[Job]:
    """RADAR's whole score: the default and the fast U-Net, in PyTorch and in ONNX Runtime, of grey and of RGB
    images.
    """
    jobs = []
    for network in dict.fromkeys(("folded", FAST)):
        for colour, batch in (("grey", images), ("RGB", np.repeat(images[..., None], 3, axis=3))):
            unet = untrained(network, 1 if colour == "grey" else 3).to(memory_format=torch.channels_last)
            for engine in ("torch", "onnx"):
                detector = RadarDetector(unet=unet, engine=engine, calibration_points=50).fit(batch[:4])
                score = partial(detector.score_samples, batch[:1])
                jobs.append(Job(f"RADAR {network} {colour}", engine, lambda _, score=score: score(), SIDE,
                                SIDE))
    return jobs


def main() -> None:
    """Measure, and print medians and ratios; a ratio is the median of the rounds' ratios, with their
    quartiles.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    images = np.stack([make_image("standard", 0, "train", index, size=SIDE)[0]
                       for index in range(BANK_IMAGES)])
    rgb = torch.from_numpy(images).float().div(255)[:, None].repeat(1, 3, 1, 1)
    models = {f"PatchCore {backbone}": patchcore(backbone, rgb)
              for backbone in ("wide_resnet50_2", "resnet18")} | {"EfficientAD-S": efficient_ad()}
    theirs = [job for name, model in models.items() for job in rival_jobs(name, model, rgb[:1])]
    ours = our_jobs(images)
    measure([*theirs, *ours], arguments.rounds)
    print(f"{arguments.threads} threads, {arguments.rounds} rounds, PyTorch {torch.__version__}")
    for job in [*theirs, *ours]:
        print(f"{job.method:26} {job.engine:9} {np.median(job.ms):8.1f} ms, 95 % within "
              f"{np.quantile(job.ms, 0.95):8.1f} ms")
    for mine in ours:
        print(f"as many times the time of {mine.method} in {mine.engine}:")
        for other in theirs:
            low, middle, high = np.quantile(np.array(other.ms) / np.array(mine.ms), (0.25, 0.5, 0.75))
            print(f"    {middle:6.2f} ({low:.2f} to {high:.2f}) {other.method} in {other.engine}")


if __name__ == "__main__":
    main()
