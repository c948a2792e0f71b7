"""ONNX Runtime in PyTorch's place: on a CPU up to twice as fast, the same noise maps to 1e-4.

An engine is called as a `UNet2DModel` is: `predict_noise` and `RadarDetector(unet=OnnxUNet(unet))` take it.
"""

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

import torch
from diffusers import UNet2DModel
from diffusers.models.unets.unet_2d import UNet2DOutput

from radar_nb.storage.errors import InputError

ENGINES = {"torch": (), "onnx": ("onnx", "onnxruntime")}  # and the packages that each needs
OPSET = 18


class Engine:
    """A U-Net in another engine, with its weights of now; each timestep is prepared when first used."""

    def __init__(self, unet: UNet2DModel):
        self.unet, self.config, self.device = unet, unet.config, unet.device
        self._ready: dict[object, Callable] = {}

    def __call__(self, x: torch.Tensor, timestep: int | torch.Tensor) -> UNet2DOutput:
        """`eps_theta(x, t)` for folded images `(N, C, H, W)` and one timestep for all."""
        return UNet2DOutput(sample=self._answer(x, int(timestep)))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the U-Net itself."""
        self.unet.save_pretrained(folder)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The U-Net's weights, by which a scoring that goes on knows its model."""
        return self.unet.state_dict()

    def __getstate__(self) -> dict:
        """Without what an engine has prepared: that cannot be copied, and is soon made again."""
        return self.__dict__ | {"_ready": {}}

    def _once(self, key: object, make: Callable[[], Callable]) -> Callable:
        if key not in self._ready:
            self._ready[key] = make()
        return self._ready[key]

    def _answer(self, x: torch.Tensor, timestep: int) -> torch.Tensor:
        raise NotImplementedError


class OnnxUNet(Engine):
    """ONNX Runtime on the CPU, for images of any size."""

    def _answer(self, x: torch.Tensor, timestep: int) -> torch.Tensor:
        session = self._once(timestep, lambda: _session(self._model(timestep)))
        return torch.from_numpy(session.run(None, {"x": x.cpu().contiguous().numpy()})[0]).to(x.device)

    def _model(self, timestep: int) -> bytes:
        side = 2 ** len(self.config.block_out_channels)
        example = torch.zeros(2, self.config.in_channels, 2 * side, 3 * side)
        return to_onnx(AtTimestep(self.unet, timestep), {"x": example}, ("eps",))


def make_engine(name: str, unet: UNet2DModel) -> UNet2DModel | Engine:
    """The U-Net itself, or an engine of `ENGINES` that answers as it does.

    Raises:
        InputError: no such engine, or a package that it needs is not installed.
    """
    if name not in ENGINES:
        raise InputError(f"engine={name!r}: choose one of {', '.join(ENGINES)}")
    need(*ENGINES[name])
    return unet if name == "torch" else OnnxUNet(unet)


def need(*packages: str) -> None:
    """Raise InputError that says what to install, where one of the packages is not there."""
    for package in packages:
        try:
            import_module(package)
        except ImportError:
            raise InputError(f"engine: the package {package} is not installed; `pip install {package}`, "
                             "or `pip install -e \".[fast]\"`") from None


def to_onnx(module: torch.nn.Module, inputs: Mapping[str, torch.Tensor], outputs: Sequence[str],
            flat: Sequence[str] = ()) -> bytes:
    """A module as an ONNX model with free batch size, height and width.

    Args:
        inputs: what the module takes, by name: small examples `(N, C, H, W)`; outputs: their names; those of
            them that are `flat` have a free batch size only.

    Raises:
        InputError: onnx is not installed.
    """
    need("onnx")
    file, place = io.BytesIO(), {0: "batch", 2: "height", 3: "width"}
    alone = {2: "height", 3: "width"}
    free = {name: place if len(example) > 1 else alone for name, example in inputs.items()}
    free |= {output: {0: "batch"} if output in flat else place for output in outputs}
    device = next(module.parameters()).device
    with torch.inference_mode(), warnings.catch_warnings():
        # PyTorch's newer exporter takes twenty times as long, for a model that is no faster.
        warnings.simplefilter("ignore")
        examples = tuple(example.to(device) for example in inputs.values())
        torch.onnx.export(module, examples, file, dynamo=False, opset_version=OPSET, dynamic_axes=free,
                          input_names=list(inputs), output_names=list(outputs))
    return file.getvalue()


def with_metadata(model: bytes, entries: Mapping[str, str]) -> bytes:
    """An ONNX model with entries in its metadata."""
    import onnx
    proto = onnx.load_from_string(model)
    onnx.helper.set_model_props(proto, dict(entries))
    return proto.SerializeToString()


class AtTimestep(torch.nn.Module):
    """`x -> eps_theta(x, t)` for one t: the time embedding becomes a constant."""

    def __init__(self, unet: UNet2DModel, timestep: int):
        super().__init__()
        self.unet, self.timestep = unet, timestep

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The noise in folded images `(N, C, H, W)`."""
        return self.unet(x, self.timestep).sample


def _session(model: bytes | str):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
