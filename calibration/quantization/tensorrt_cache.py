"""Ranges as the calibration cache of TensorRT up to 10, for whoever builds from a float graph by implicit precision.

A text file: a header with TensorRT's version, then a line for each tensor, its scale as the bits of a float32 in hex.
TensorRT 11 has no calibrators any more, and no reidkit engine is built this way. **Read by no TensorRT here**.
"""

from __future__ import annotations

import re
import struct

from reidkit.calibration.quantization.layout import Layout
from reidkit.calibration.quantization.ranges import Ranges, known_observer
from reidkit.runtime.errors import InvalidInput


def tensorrt_cache(ranges: Ranges, *, observer: str, version: str) -> str:
    """The text of the cache.

    Args:
        ranges: of the float graph that is to be built, as it is, not equalised.
        observer: whose verdict to take.
        version: TensorRT's, such as ``10.3.0``; it refuses the cache of another.

    Raises:
        InvalidInput: no such observer, or that is no version before 11.
    """
    numbers = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)(\.\d+)*", version)
    if not numbers:
        raise InvalidInput(f"'{version}' is no version of TensorRT", remedy="give three numbers, such as 10.3.0")
    if int(numbers[1]) > 10:
        raise InvalidInput(f"TensorRT {version} reads no calibration cache", remedy="those up to 10 do, such as 10.3.0")
    major, minor, patch = (int(number) for number in numbers.groups()[:3])
    encoded = major * 10_000 + minor * 100 + patch if major >= 10 else major * 1000 + minor * 100 + patch
    lines = [f"TRT-{encoded}-EntropyCalibration2"]
    for name, seen in ranges.tensors.items():
        scale = Layout.SIGNED.grid(*seen.kept(known_observer(observer))).scale
        lines.append(f"{name}: {struct.pack('>f', scale).hex()}")
    return "\n".join(lines) + "\n"
