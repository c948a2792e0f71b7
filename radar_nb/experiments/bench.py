"""How fast? Every method, network and engine is timed in turns, in one run, beside the limit of the machine.

Each row of `bench.csv` is the time of one thing: the `forward` of a bare U-Net; RADAR's whole `score` of
256 x 256 images, from bytes to the forest's answer; or a method of the comparison on test images.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from radar_nb.beyond.detector import NOISE_FREE, VariantDetector
from radar_nb.beyond.fused import FusedDetector
from radar_nb.beyond.onnx import ENGINES, make_engine, need
from radar_nb.data.dataset import Sizes
from radar_nb.data.named import load_dataset
from radar_nb.experiments.comparison import read_tables
from radar_nb.experiments.engines_tried import TRIED, Int8UNet
from radar_nb.experiments.methods import METHODS
from radar_nb.experiments.networks import FAST, NETWORKS, RECIPES, pareto_front, untrained
from radar_nb.experiments.timing import Job, count_gflop, gemm_roof, rows_of, time_jobs
from radar_nb.figures import ACCENT, ANOMALOUS, NEUTRAL, NORMAL, new_figure
from radar_nb.method.unet import fold_factor
from radar_nb.runs.kit import Kit
from radar_nb.storage.errors import InputError, Unavailable
from radar_nb.storage.whole import whole_file

SIDE = 256  # side of the images of `forward` and `score` rows, in pixels
SIDES = (128, 512, 1024)  # other sides, for the cost against image area
NOT_QUICK = ("ddim10", "ddim25", "diffusion_ad", "forest_clustering", "patchcore")  # slow to fit or to run


def available(engines: Iterable[str]) -> list[str]:
    """The engines whose packages are installed; prints which are not."""
    found = []
    for engine in engines:
        try:
            need(*(TRIED[engine][1] if engine in TRIED else ENGINES[engine]))
            found.append(engine)
        except InputError as error:
            print(f"{engine:14} left out: {error}", flush=True)
    return found


def _in_engine(engine: str, unet, images: torch.Tensor):
    """A U-Net in any engine, offered or tried; 8-bit ranges come from the folded `images`."""
    if engine not in TRIED:
        return make_engine(engine, unet)
    return Int8UNet(unet, images) if engine == "openvino_int8" else TRIED[engine][0](unet)


@torch.inference_mode()
def forward_jobs(networks: Sequence[str], engines: Sequence[str], batches: Sequence[int] = (1,),
                 side: int = SIDE) -> list[Job]:
    """Bare U-Nets of `NETWORKS` with random weights, on images that are already folded."""
    jobs = []
    for network in networks:
        unet = untrained(network).to(memory_format=torch.channels_last)
        fold = fold_factor(unet)
        x = torch.randn(max(batches), fold**2, side // fold, side // fold,
                        generator=torch.Generator().manual_seed(0))
        gflop = count_gflop(lambda unet=unet, x=x: unet(x[:1], 200))
        for engine in engines:
            model = _in_engine(engine, unet, x)
            for batch in batches:
                part = x[:batch].contiguous(memory_format=torch.channels_last)
                jobs.append(Job(f"forward {network}", engine, _inferring(model, part), side, side, batch,
                                gflop=gflop))
    return jobs


def _inferring(unet, x: torch.Tensor) -> Callable:
    def call(_: int) -> torch.Tensor:
        with torch.inference_mode():
            return unet(x, 200).sample
    return call


def score_jobs(networks: Sequence[str], engines: Sequence[str], batches: Sequence[int] = (1,),
               side: int = SIDE, recipe: str | None = None) -> list[Job]:
    """RADAR's `score_samples` of uint8 images: scaling, U-Net, blur, Sobel, both norms and the forest.

    `recipe` is one of `networks.RECIPES` instead of the paper's, or "fused", which needs PyTorch. Weights are
    random; the time does not depend on them.
    """
    def build(unet):
        if recipe == "fused":
            return FusedDetector(unet=unet)
        options = NOISE_FREE | RECIPES[recipe] if recipe else {}
        return VariantDetector(unet=unet, batch_size=max(batches), calibration_points=50, **options)

    data = load_dataset("printed", Sizes(train=1, calibrate=max(4, *batches), side=side))
    images, jobs = list(data.calibrate), []
    for network in networks:
        unet, gflop = untrained(network).to(memory_format=torch.channels_last), None
        for engine in engines:
            detector = build(make_engine(engine, unet)).fit(images[:4])
            gflop = gflop or count_gflop(lambda detector=detector: detector.score_samples(images[:1]))
            jobs += [Job(f"score {network}, {recipe}" if recipe else f"score {network}", engine,
                         lambda _, detector=detector, batch=batch: detector.score_samples(images[:batch]),
                         side, side, batch, gflop=gflop) for batch in batches]
    return jobs


def method_jobs(kit: Kit, names: Sequence[str] = tuple(METHODS),
                fitted: Mapping = MappingProxyType({})) -> list[Job]:
    """The methods of the comparison on the kit's test images, one at a time.

    A method whose weights or packages are missing is left out, and the output says so. Methods that are not
    in `fitted` are calibrated on two images, since thresholds do not change the time. The image AUROC comes
    from `results/comparison.csv`, if the method was measured on this data set, seed and profile.
    """
    if torch.cuda.is_available():
        kit.unet.to("cuda")
    images, jobs = list(kit.data.test[:50]), []
    key = kit.data.name, kit.seed, kit.profile
    known = {row["method"]: row["metrics"]["image_auroc"] for row in read_tables()
             if (row["dataset"], row["seed"], row["profile"]) == key}
    for name in [name for name in names if METHODS[name].suits(kit.data.name)]:
        try:
            detector = fitted.get(name) or METHODS[name].build(kit, kit.data.calibrate[:2])
        except Unavailable as error:
            print(f"{name:14} left out: {error}", flush=True)
            continue
        unet = getattr(detector, "unet_", None)
        in_torch = unet is not None or METHODS[name].family == "pretrained"
        jobs.append(Job(name, "torch" if in_torch else "numpy",
                        lambda number, detector=detector: list(
                            detector.inspect([images[number % len(images)]])),
                        *images[0].shape[:2], device=unet.device.type if unet is not None else "cpu",
                        image_auroc=known.get(name)))
    return jobs


def time_methods(kit: Kit, names: Sequence[str] = tuple(METHODS), rounds: int = 5,
                 fitted: Mapping = MappingProxyType({})) -> list[dict]:
    """Rows of `bench.csv` for some methods, on the kit's test images, without their FLOP."""
    jobs = method_jobs(kit, names, fitted)
    time_jobs(jobs, rounds, flop=False)
    return rows_of(jobs, roof=1.0)


def bench(kit: Kit, quick: bool = False) -> list[dict]:
    """Everything: bare U-Nets, engines, RADAR's whole score, all methods. `quick` takes at most a minute."""
    engines, roof = available(("torch", "onnx")), gemm_roof()
    print(f"a matrix product: {roof:.0f} GFLOP/s on {torch.get_num_threads()} threads", flush=True)
    if quick:
        names = [name for name in METHODS if METHODS[name].calls <= 50 and name not in NOT_QUICK]
        groups = ((forward_jobs(("folded", FAST), engines), 5), (score_jobs(("folded", FAST), engines), 5),
                  (method_jobs(kit, names), 1))
    else:
        groups = ((forward_jobs([name for name in NETWORKS if name not in ("folded", FAST)], engines), 11),
                  (forward_jobs(("folded", FAST), engines, (1, 8)), 11),
                  (forward_jobs((FAST,), available(TRIED)), 11),
                  (score_jobs(("plain",), engines), 11),
                  (score_jobs(("folded", FAST), engines, (1, 8)), 11),
                  (score_jobs(("folded", FAST), engines, recipe="two timesteps"), 11),
                  (score_jobs(("folded", FAST), ("torch",), (1, 8), recipe="fused"), 11),
                  ([job for side in SIDES for job in score_jobs(("folded", FAST), ("torch",), side=side)], 3),
                  (method_jobs(kit), 5))
    rows = []
    for jobs, rounds in groups:
        time_jobs(jobs, rounds)
        rows += rows_of(jobs, roof)
        for row in rows[-len(jobs):]:
            print("{method:22} {engine:14} batch {batch:2}  {ms_median:9.1f} ms  {images_per_second:7.1f} "
                  "images/s  {roof_share} of the roof".format_map(row),
                  flush=True)
    for method in dict.fromkeys(row["method"] for row in rows if row["method"].startswith("score")):
        mine = [row for row in rows if (row["method"], row["engine"], row["batch"]) == (method, "torch", 1)]
        if len(mine) > 1:
            power = exponent([row["height"] * row["width"] for row in mine],
                             [row["ms_median"] for row in mine])
            print(f"{method:22} the cost grows with the area to the power of {power:.2f}", flush=True)
    return rows


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The power of size with which the cost grows: 1 is linear (a line through the logarithms)."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


# --- pictures


def draw_bench(rows: Sequence[Mapping], path: Path) -> None:
    """Draw one bar for each row of `bench.csv` with batch 1, fastest on top, on a logarithmic axis."""
    chosen = sorted((row for row in rows if row["batch"] == 1),
                    key=lambda row: (row["height"], -row["ms_median"]))
    figure, axes = new_figure(width=9, height=1 + 0.26 * len(chosen))
    colours = {"forward": NEUTRAL, "score": ANOMALOUS}
    for place, row in enumerate(chosen):
        axes.barh(place, row["ms_median"], color=colours.get(row["method"].split()[0], NORMAL))
        axes.text(row["ms_median"] * 1.05, place, f"{row['ms_median']:.1f}", va="center", fontsize=8)
    names = [f"{row['method']}, {row['engine']}, {row['height']:.0f} x {row['width']:.0f}" for row in chosen]
    axes.set_yticks(range(len(chosen)), names, fontsize=8)
    meaning = "grey: bare U-Net, orange: RADAR's whole score, blue: methods of the comparison"
    axes.set(xscale="log", xlabel=f"ms per image, batch 1 ({meaning})",
             ylim=(-0.6, len(chosen) - 0.4))
    with whole_file(path) as work:
        figure.savefig(work, format="png", dpi=100, bbox_inches="tight")


def draw_pareto(axes, milliseconds: Mapping[str, float], aurocs: Mapping[str, float], label: str,
                colour: str = ACCENT) -> list[str]:
    """Plot networks by time and AUROC with their Pareto front; returns the front, cheapest first."""
    front = pareto_front(milliseconds, aurocs)
    axes.plot([milliseconds[name] for name in front], [aurocs[name] for name in front], "--", color=colour)
    axes.plot(list(milliseconds.values()), [aurocs[name] for name in milliseconds], "o", color=colour,
              label=label)
    return front
