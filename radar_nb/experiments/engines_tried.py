"""Engines for the U-Net that were measured and are not offered, since ONNX Runtime serves better."""

from collections.abc import Callable, Mapping

import torch
from diffusers import UNet2DModel

from radar_nb.beyond.onnx import AtTimestep, Engine


class ContiguousUNet(Engine):
    """PyTorch without channels_last, to see what the memory layout is worth."""

    def _answer(self, x: torch.Tensor, timestep: int) -> torch.Tensor:
        return self._once("unet", self._copy)(x.contiguous(), timestep).sample

    def _copy(self) -> Callable:
        copy = UNet2DModel.from_config(self.config).eval().to(self.device)
        copy.load_state_dict(self.unet.state_dict())
        return copy.to(memory_format=torch.contiguous_format)


class Bf16UNet(Engine):
    """PyTorch with bfloat16 in convolutions and products."""

    def _answer(self, x: torch.Tensor, timestep: int) -> torch.Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.unet(x, timestep).sample.float()


class CompiledUNet(Engine):
    """`torch.compile`; needs a C++ compiler."""

    def _answer(self, x: torch.Tensor, timestep: int) -> torch.Tensor:
        return self._once(timestep, lambda: torch.compile(AtTimestep(self.unet, timestep)))(x)


class OpenVinoUNet(Engine):
    """OpenVINO on the CPU, compiled for each shape of images: faster than one model for all shapes."""

    def _answer(self, x: torch.Tensor, timestep: int) -> torch.Tensor:
        request = self._once((timestep, x.shape), lambda: self._compile(self._converted(timestep, x), x))
        return torch.from_numpy(next(iter(request.infer([x.cpu().contiguous().numpy()]).values())))

    def _converted(self, timestep: int, x: torch.Tensor):
        import openvino
        with torch.inference_mode():
            return openvino.convert_model(AtTimestep(self.unet, timestep), example_input=x.cpu())

    def _compile(self, model, x: torch.Tensor):
        import openvino
        model.reshape(list(x.shape))
        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY",
                   "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        return openvino.Core().compile_model(model, "CPU", options).create_infer_request()


class Int8UNet(OpenVinoUNet):
    """OpenVINO with weights and activations in 8 bits.

    Their ranges come from `images`: folded calibration images `(N, C, H, W)`.
    """

    def __init__(self, unet: UNet2DModel, images: torch.Tensor):
        super().__init__(unet)
        self.images = images

    def _converted(self, timestep: int, x: torch.Tensor):
        import nncf
        nncf.set_log_level("ERROR")
        samples = nncf.Dataset([image[None].contiguous().numpy() for image in self.images])
        return nncf.quantize(super()._converted(timestep, x), samples, subset_size=len(self.images))


TRIED: Mapping[str, tuple[Callable, tuple[str, ...]]] = {
    "contiguous": (ContiguousUNet, ()), "bf16": (Bf16UNet, ()), "compile": (CompiledUNet, ()),
    "openvino": (OpenVinoUNet, ("openvino",)), "openvino_int8": (Int8UNet, ("openvino", "nncf"))}
