"""The miniature of `tiny_artifact` in torch, for targets that are fed the program that torch exports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiny_manifest import MEAN, STD, Tiny, tiny_weights


def tiny_program(tiny: Tiny) -> Callable[[int | None], Any]:
    """Batch size, or None for any -> `torch.export.ExportedProgram` that computes what `tiny_onnx` does."""

    def program(batch: int | None) -> Any:
        import torch

        class Network(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                kernel, linear = tiny_weights()
                self.kernel, self.linear = torch.from_numpy(kernel), torch.from_numpy(linear)
                self.mean, self.std = torch.tensor(MEAN).reshape(3, 1, 1), torch.tensor(STD).reshape(3, 1, 1)

            def forward(self, images: Any) -> Any:
                pixels = images.float()
                planes = pixels.permute(0, 3, 1, 2) if tiny.layout == "nhwc" else pixels
                if tiny.where == "graph":
                    planes = (planes * (1 / 255) - self.mean) / self.std
                plain = torch.nn.functional.conv2d(planes, self.kernel, stride=2).relu().mean((2, 3)) @ self.linear
                light = pixels.mean((1, 2, 3)).unsqueeze(1)
                return {"ordinary": plain, "zero": plain * light, "nan": plain * (light / light)}[tiny.black]

        sample = torch.zeros(batch or 2, *tiny.crop_shape, dtype=getattr(torch, tiny.dtype))
        open_sizes = None if batch else ({0: torch.export.Dim("batch", min=1)},)
        return torch.export.export(Network().eval(), (sample,), dynamic_shapes=open_sizes)

    return program
