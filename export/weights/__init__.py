"""Trained weights that come with reidkit: a default to try and to start from.

`NAME.safetensors` holds the weights of the backbone NAME as float16; `NAME.card.md` and `NAME.card.json` say where they
come from and how good they are, `LICENSE` on which terms they may be used: not those of the code.
"""

from __future__ import annotations

from pathlib import Path

from reidkit.runtime.errors import InvalidInput

DEFAULT = "osnet_x0_25"
"""The backbone that is meant where neither a backbone nor weights are named."""

LICENCE = "LicenseRef-reidkit-weights: academic use only, as the images they were trained on (export/weights/LICENSE)"

_FOLDER = Path(__file__).parent


def embedded_weights(backbone: str) -> Path:
    """The weights file of a backbone. Raises `InvalidInput` if none comes with reidkit."""
    path = _FOLDER / f"{backbone}.safetensors"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in _FOLDER.glob("*.safetensors")))
        raise InvalidInput(
            f"no weights of {backbone} come with reidkit",
            remedy=f"give --weights FILE, or --random-weights to try a target out; embedded: {known}",
        )
    return path
