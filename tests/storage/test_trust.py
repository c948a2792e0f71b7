"""Nothing that is loaded can run code, and nothing that was tampered with is loaded."""

import ast
import importlib
import json
import os
import pickle
import resource
import shutil

import numpy as np
import pytest
import skimage.morphology  # noqa: F401 - it reads a table of its own with np.load
import torch
from pickles import looks_like_code
from safetensors.torch import load_file, save_file
from small import SMALL, tiny_images

from radar_nb.__main__ import main
from radar_nb.data.named import load_dataset
from radar_nb.method.detector import RadarDetector
from radar_nb.method.training import TrainingConfig
from radar_nb.method.unet import build_unet
from radar_nb.runs.kit import Kit
from radar_nb.runs.training import train_into
from radar_nb.storage.errors import InputError
from radar_nb.storage.places import REPOSITORY
from radar_nb.storage.unet_folder import load_unet

WEIGHTS, CALIBRATION = "diffusion_pytorch_model.safetensors", "calibration.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small detector on disk."""
    folder = tmp_path_factory.mktemp("saved")
    torch.manual_seed(0)
    detector = RadarDetector(unet=build_unet(widths=(8, 8)).eval(), training=TrainingConfig(patch_size=16), calibration_points=10)
    detector.fit(load_dataset("printed", SMALL).calibrate[:4]).save_pretrained(folder)
    return folder


def config(name="config.json", **changes):
    def change(folder):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return change


def tensors(name, change):
    """Change tensors; whoever tampers adapts the checksums too."""
    def tamper(folder):
        values = load_file(folder / name)
        save_file({key: value.contiguous() for key, value in (change(values) or values).items()}, folder / name)
        (folder / "SHA256SUMS").unlink()
    return tamper


def first(value):
    def change(values):
        name = next(iter(values))
        values[name] = value(values[name])
    return change


def flip(name):
    def change(folder):
        content = bytearray((folder / name).read_bytes())
        content[-100] ^= 1
        (folder / name).write_bytes(content)
    return change


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


def explosive(path):
    path.write_bytes(pickle.dumps(Bomb()))


def only_pickle(folder):
    (folder / WEIGHTS).unlink()
    explosive(folder / "diffusion_pytorch_model.bin")


def poison(folder):
    """Weights that are finite, and whose products are not."""
    tensors(WEIGHTS, lambda values: {key: value + 3e38 for key, value in values.items()})(folder)


TAMPERED = {
    "weights of another shape": (tensors(WEIGHTS, first(lambda value: value[:-1])), "has the shape"),
    "a weight too many": (tensors(WEIGHTS, lambda values: values | {"payload": torch.zeros(3)}), "'payload' does not belong there"),
    "a weight too few": (tensors(WEIGHTS, lambda values: dict(list(values.items())[1:])), "is missing"),
    "weights that are whole numbers": (tensors(WEIGHTS, first(lambda value: value.int())), "not a float type"),
    "NaN weights": (tensors(WEIGHTS, first(lambda value: value * float("nan"))), "holds NaN"),
    "infinite weights": (tensors(WEIGHTS, first(lambda value: value + float("inf"))), "holds NaN or infinite"),
    "finite weights whose answer is not": (poison, "output is not finite"),
    "weights with a changed bit": (flip(WEIGHTS), "checksum"),
    "weights cut off": (lambda folder: os.truncate(folder / WEIGHTS, 5000), "checksum"),
    "empty weights": (lambda folder: [os.truncate(folder / WEIGHTS, 0), (folder / "SHA256SUMS").unlink()], "damaged"),
    "a pickle called safetensors": (lambda folder: [explosive(folder / WEIGHTS), (folder / "SHA256SUMS").unlink()], "damaged"),
    "a pickle beside no weights": (only_pickle, "no such file"),
    "a header of 2^60 bytes": (lambda folder: [(folder / WEIGHTS).write_bytes(b"\xff" * 7 + b"\x0f{}"), (folder / "SHA256SUMS").unlink()], "damaged"),
    "a wider U-Net": (config(block_out_channels=[16, 16]), "has the shape"),
    "gigantic layers": (config(block_out_channels=[10**9, 10**9]), "not allowed"),
    "large layers within limits": (config(block_out_channels=[8192, 8192]), "has the shape"),
    "a thousand layers": (config(layers_per_block=1000), "not allowed"),
    "a thousand levels": (config(block_out_channels=[8] * 1000), "not allowed"),
    "an unknown class": (config(_class_name="os.system"), "'os.system', not a UNet2DModel"),
    "an unknown kind of block": (config(down_block_types=["DownBlock2D", "EvilBlock"]), "not allowed"),
    "a path for a kind of layer": (config(act_fn="../../evil.py"), "not allowed"),
    "a setting that diffusers does not know": (config(quantization_config={"load": "evil"}), "not allowed"),
    "channels that are no image's": (config(in_channels=7, out_channels=7), "in_channels=7"),
    "a config that is no object": (lambda folder: (folder / "config.json").write_text("[1]"), "not a JSON object"),
    "a config nested too deep": (lambda folder: (folder / "config.json").write_text("[" * 10**5), "cannot be read as JSON"),
    "a config of 2 MB": (lambda folder: (folder / "config.json").write_text(" " * 2**21), "bytes, but at most"),
    "a config with NaN": (lambda folder: (folder / "config.json").write_text('{"dropout": NaN}'), "not a finite number"),
    "an unknown setting of the detector": (config("detector.json", hook="evil.py"), "'hook' is not a known setting"),
    "a setting of the wrong kind": (config("detector.json", window="17"), "has the wrong type"),
    "a reading that there is not": (config("detector.json", reading="tea_leaves"), "tea_leaves"),
    "a patch of 2^30 pixels": (config("detector.json", patch_size=2**30), "patch_size"),
    "a smoothing that takes all memory": (config("detector.json", smoothing=1e9), "smoothing"),
    "a threshold that is no number": (config("detector.json", pixel_threshold=None), "has the wrong type"),
    "features in three columns": (tensors(CALIBRATION, first(lambda value: torch.cat([value, value[:, :1]], dim=1))), "not a saved detector"),
    "NaN features": (tensors(CALIBRATION, first(lambda value: value * float("nan"))), "holds NaN"),
    "no features": (tensors(CALIBRATION, lambda values: {"other": torch.zeros(2)}), "not a saved detector"),
    "features and something else": (tensors(CALIBRATION, lambda values: values | {"payload": torch.zeros(2)}), "'payload' does not belong there"),
    "features of a single image": (tensors(CALIBRATION, first(lambda value: value[:0])), "not a saved detector"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_a_tampered_model_folder_is_refused_in_one_line(tmp_path, monkeypatch, saved, case):
    tamper, said = TAMPERED[case]
    folder = shutil.copytree(saved, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    tamper(folder)
    with pytest.raises(InputError) as error:
        RadarDetector.from_pretrained(folder)
    assert said in str(error.value) and str(folder) in str(error.value) and len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "exploded").exists()


def test_gigantic_layers_take_no_memory(tmp_path, saved):
    """Refused with 300 MB left to grow: the weights that the config asks for would take 40 GB."""
    folder = shutil.copytree(saved, tmp_path / "model")
    config(block_out_channels=[8192, 8192])(folder)
    pid = os.fork()
    if pid == 0:
        try:
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 300 * 2**20, resource.RLIM_INFINITY))
            load_unet(folder)
        except InputError as error:
            os._exit(7 if "has the shape" in str(error) else 8)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_this_test_would_see_a_pickle(tmp_path):
    explosive(tmp_path / "a")
    torch.save({"w": torch.zeros(2)}, tmp_path / "b")
    np.savez(tmp_path / "c.npz", np.zeros(2))
    assert all(map(looks_like_code, tmp_path.iterdir())) and not looks_like_code(REPOSITORY / "README.md")


KINDS = {".json", ".jsonl", ".safetensors", ".png", ".csv", ".md", ""}


def test_training_scoring_and_a_kit_write_nothing_that_can_run_code(tmp_path, mvtec_folder, monkeypatch):
    """`test_notebooks.py` looks at what a whole run writes."""
    importlib.import_module("skimage.morphology")  # its first import reads its own arrays with np.load

    def trap(*arguments, **options):
        raise AssertionError("something is unpickled")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load"), (np, "load")):
        monkeypatch.setattr(module, name, trap)
    model = tmp_path / "out" / "model"
    arguments = ["train", "--profile", "smoke", "--dataset", str(mvtec_folder), "--steps", "3", "--sample-every", "3", "--out", str(model)]
    monkeypatch.setattr("radar_nb.runs.training.denoise", lambda unet, noise, start, steps: (noise.clamp(-1, 1), []))
    assert main(arguments) == 0 == main(arguments), "the second time it is loaded"
    assert main(["score", "--model", str(model), str(mvtec_folder / "test"), "--out", str(tmp_path / "out" / "scores")]) == 0
    train_into(tmp_path / "out" / "tiny", tiny_images(), TrainingConfig(steps=3, batch_size=2, patch_size=16, widths=(8, 8), checkpoint_every=1), progress=False)
    kit = Kit("smoke", folder=tmp_path / "out" / "kit")
    kit.record("radar", {"f1": 0.5})
    kit.save_table("one", [{"a": 1}])
    kit.keep("measured", lambda: {"a": 1.0})
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) > 25 and {path.suffix for path in files} <= KINDS | {".lock", ".html"}
    assert not any("<script" in path.read_text().lower() for path in files if path.suffix == ".html"), "the card is only read"
    assert [path for path in files if looks_like_code(path)] == []


FORBIDDEN = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "imp", "importlib.util", "runpy", "skops"}
CALLS = {"torch.load", "np.load", "numpy.load", "eval", "exec", "compile", "__import__", "yaml.load", "torch.hub.load", "os.system"}


def test_no_loader_can_run_code():
    """Every module: no import of a library that unpickles, no call that loads pickles or runs text."""
    paths = [*(REPOSITORY / "radar_nb").rglob("*.py"), *(REPOSITORY / "data_download").glob("*.py")]
    assert len(paths) > 20
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
                assert not names & FORBIDDEN, f"{path.name}:{node.lineno}"
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called == "torch.load" and "weights_only=True" in map(ast.unparse, node.keywords):
                    continue  # tensors and nothing else: the weights of the pretrained rival, an extra
                assert called not in CALLS and not called.endswith((".load_state", ".read_pickle", "UNet2DModel.from_pretrained")), f"{path.name}:{node.lineno}: {called}"


def test_released_weights_are_what_was_released():
    for folder in (REPOSITORY / "weights").iterdir():
        lines = (folder / "SHA256SUMS").read_text().splitlines()
        assert [line.split("  ")[1] for line in lines] == [CALIBRATION, WEIGHTS]
        load_unet(folder)
