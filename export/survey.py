"""What each backbone costs: built without weights to count, with random ones to export. `reidkit backbones` runs it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from reidkit.export.backbones import ModelCard
from reidkit.export.catalogue.measurements import Measurement, Measurements
from reidkit.export.checkpoints import random_backbone
from reidkit.export.onnx import CropEmbedder, write_onnx
from reidkit.runtime.errors import ExportFailure
from reidkit.runtime.latencies import this_machine

LIBRARIES = ("torch", "onnx", "onnxscript")

HEADINGS = ("backbone", "input", "width", "parameters", "MACs", "ONNX", "export")


class Costs(NamedTuple):
    """What can be told of a network without computing anything."""

    embedding_dim: int
    parameters: int
    macs: int


def costs(card: ModelCard) -> Costs:
    """Count on a network that has shapes and no values; takes milliseconds and no memory."""
    shape = (1, 3, card.preprocessing.height, card.preprocessing.width)
    with torch.device("meta"), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        module = card.build().eval()
        embedding = module(torch.empty(shape))
    # The counter takes a multiplication and an addition for two.
    return Costs(
        embedding_dim=embedding.shape[1],
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        macs=counter.get_total_flops() // 2,
    )


def survey(
    cards: Iterable[ModelCard], *, export: bool = True, progress: Callable[[str], None] = lambda name: None
) -> Measurements:
    """Measure the backbones, one after the other: the memory needed is that of the largest one's export.

    Args:
        cards: what to measure.
        export: write each as ONNX, which takes ten seconds to minutes; else only count.
        progress: told of each backbone as it begins.
    """
    found = {}
    for card in cards:
        progress(card.name)
        counted = _counted(card)
        found[card.name] = _exported(card, counted) if export else counted
    when = datetime.now(timezone.utc).date().isoformat()
    libraries = ", ".join(f"{library} {version(library)}" for library in (LIBRARIES if export else LIBRARIES[:1]))
    return Measurements(source=f"measured {when} with {libraries} on {this_machine()}", backbones=found)


def _counted(card: ModelCard) -> Measurement:
    counted = costs(card)
    return Measurement(
        family=card.family,
        height=card.preprocessing.height,
        width=card.preprocessing.width,
        embedding_dim=counted.embedding_dim,
        parameters=counted.parameters,
        macs=counted.macs,
    )


def _exported(card: ModelCard, counted: Measurement) -> Measurement:
    embedder = CropEmbedder(random_backbone(card), card.preprocessing)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "graph.onnx")
        started = process_time()
        write_onnx(embedder, path)
        export_cpu_s = process_time() - started
        if (width := _width(path)) != counted.embedding_dim:
            raise ExportFailure(f"{card.name}: the graph is {width} wide, the network {counted.embedding_dim}")
        return replace(counted, onnx_bytes=path.stat().st_size, export_cpu_s=round(export_cpu_s, 1))


def _width(path: Path) -> int:
    """Width of the embeddings as the graph's output declares it."""
    import onnx

    output = onnx.load(path).graph.output[0]
    return int(output.type.tensor_type.shape.dim[1].dim_value)


def markdown(measured: Measurements) -> str:
    """The measurements as a page, a table for each family."""
    families = dict.fromkeys(each.family for each in measured.backbones.values())
    parts = [
        "# Backbones",
        "Written by `reidkit backbones --table docs/backbones.md`. Random weights: none of these figures depends on "
        "their values.",
        f"{measured.source[:1].upper()}{measured.source[1:]}. *MACs*: multiplications (each with its addition) for one "
        "crop in convolutions, linear layers and attention. *ONNX*: the fp32 file with the normalisation inside. "
        "*Export*: processor seconds from the built network to the checked file.",
    ]
    for family in families:
        rows = [
            (
                f"`{name}`",
                f"{each.height}x{each.width}",
                f"{each.embedding_dim}",
                f"{each.parameters / 1e6:.2f} M",
                f"{each.macs / 1e9:.3f} G",
                "" if each.onnx_bytes is None else f"{each.onnx_bytes / 1e6:.1f} MB",
                "" if each.export_cpu_s is None else f"{each.export_cpu_s:.1f} s",
            )
            for name, each in measured.backbones.items()
            if each.family == family
        ]
        parts += [f"## {family}", _table(rows)]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    lines = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1)), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
