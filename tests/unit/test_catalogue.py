"""What the catalogue says: sourced, complete, true to the networks, and without torch."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from reidkit.export.catalogue import Status, WeightsCache, catalogue
from reidkit.export.catalogue.listing import WIDTH, Listing
from reidkit.export.catalogue.measurements import Measurements, measurements
from reidkit.export.weights import embedded_weights
from reidkit.runtime.artifact.digests import sha256_of
from reidkit.runtime.errors import InvalidInput
from reidkit.runtime.latencies import Latency, this_machine

HEAVY = ["torch", "onnx", "onnxruntime", "openvino", "scipy", "cv2", "av", "requests", "httpx"]

ORIGIN = [
    "osnet_x1_0_msmt17.pt",
    "osnet_x0_75_msmt17.pt",
    "osnet_x0_5_msmt17.pt",
    "resnest50_market1501.pt",
    "resnest101_msmt17.pt",
    "clip_vit_b16_market1501.pt",
    "clip_vit_l14_msmt17.pt",
    "mobilenetv2_x1_4_msmt17.pt",
    "convnext_small_msmt17.pt",
    "convnext_base_market1501.pt",
]
"""The ten models that the origin document names, as it names them."""

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="comparing with the networks needs the extra 'export'"
)


@pytest.fixture
def listing(tmp_path: Path) -> Listing:
    latency = Latency(
        backbone="osnet_x1_0",
        artifact="osnet_x1_0-openvino-fp32",
        target="openvino",
        precision="fp32",
        batch=8,
        threads=2,
        latency_ms=100.0,
        machine=this_machine(),
        measured="2026-01-31T12:00:00+00:00",
    )
    return Listing(catalogue(), measurements(), WeightsCache(tmp_path), [latency])


def numbers(tree: Any, source: str | None = None, where: str = "") -> Iterator[tuple[str, str | None]]:
    """Every number of a tree, and the `source` that stands beside it."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from numbers(value, tree.get("source"), f"{where}.{key}")
    elif isinstance(tree, list):
        for each in tree:
            yield from numbers(each, None, where)
    elif isinstance(tree, (int, float)) and not isinstance(tree, bool):
        yield where, source


def test_every_number_of_the_catalogue_has_a_source() -> None:
    content = yaml.safe_load((files("reidkit.export.catalogue") / "catalogue.yaml").read_text(encoding="utf-8"))
    found = list(numbers(content))
    assert len(found) > 50
    assert [where for where, source in found if source not in content["sources"]] == []


def test_every_number_of_the_listing_has_a_source(listing: Listing) -> None:
    report = listing.to_dict()
    found = list(numbers(report))
    assert len(found) > 200
    assert [where for where, source in found if not source] == []
    assert report["sources"]["measured"].startswith("measured 20")
    json.dumps(report, allow_nan=False)


def test_every_number_in_the_text_is_a_measured_or_sourced_one(listing: Listing) -> None:
    entries = {entry["name"]: entry for entry in listing.to_dict()["models"]}
    for line in listing.text().splitlines():
        name = line.split()[0] if line.startswith("  ") and line.split() else ""
        if name in entries and not line.startswith("   "):
            entry = entries[name]
            figures = re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", line.removeprefix(f"  {name}"))
            known = {str(value) for value in entry.get("accuracy", {}).values()}
            cost = entry["cost"]
            amounts = (cost["parameters"] / 1e6, cost["macs"] / 1e9, (cost["onnx_bytes"] or 0) / 1e6)
            known |= {f"{value:.{digits}f}" for value in amounts for digits in (0, 1, 2)}
            assert set(figures) <= known
            assert f"{cost['height']}x{cost['width']}" in line
            del entries[name]
    assert not entries


def test_the_origins_ten_names_are_there() -> None:
    models = [catalogue().find(name) for name in ORIGIN]
    assert [f"{model.name}.pt" for model in models] == ORIGIN
    without = [model.name for model in models if not model.has_weights]
    assert without == ["resnest101_msmt17", "clip_vit_l14_msmt17", "convnext_small_msmt17"]


def test_a_backbones_name_is_the_first_model_that_has_it() -> None:
    assert catalogue().find("osnet_x1_0").name == "osnet_x1_0_msmt17"
    trunk = catalogue().find("clip_vit_b16_trunk")
    assert (trunk.name, trunk.backbone, trunk.also) == ("clip_vit_b16_market1501", "clip_vit_b16_trunk", ())
    with pytest.raises(InvalidInput, match="did you mean 'mobilenetv2_x1_4'"):
        catalogue().find("mobilenet_x1_4")


def test_what_a_model_is_trained_on_has_its_terms_told(listing: Listing) -> None:
    text = " ".join(listing.text().split())
    for model in catalogue().models.values():
        assert bool(model.trained_on) == model.has_weights
        assert bool(catalogue().terms(model)) == model.has_weights
        assert model.has_weights or model.note
    for training_set in catalogue().training_sets.values():
        assert f"{training_set.title}: {training_set.terms}" in text


def test_addresses_are_encrypted_and_no_two_models_share_one() -> None:
    addresses = [address for model in catalogue().models.values() for address in model.addresses]
    assert all(address.startswith("https://") for address in addresses)
    assert len(set(addresses)) == len(addresses)
    digests = [model.sha256.digest for model in catalogue().models.values() if model.sha256]
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    assert len(set(digests)) == len(digests)


def test_the_embedded_figures_are_those_of_its_card() -> None:
    path = embedded_weights("osnet_x0_25")
    card = json.loads(path.with_suffix("").with_suffix(".card.json").read_text())
    student = card["labelled"]["student"]
    accuracy = catalogue().models["osnet_x0_25_embedded"].accuracy
    assert accuracy is not None
    assert accuracy.rank_1 == round(student["rank_1"], 1)
    assert accuracy.mean_average_precision == round(student["mean_average_precision"], 1)
    assert card["weights"]["sha256"] == sha256_of(path)


def test_the_embedded_card_says_what_its_weights_are_for() -> None:
    path = embedded_weights("osnet_x0_25")
    say = "a default to try and to start from; distil on your own cameras for production"
    assert json.loads(path.with_suffix(".card.json").read_text())["intended_use"] == say
    assert say in path.with_suffix(".card.md").read_text()


def test_the_listing_fits_a_terminal_and_tells_every_status(listing: Listing, tmp_path: Path) -> None:
    (tmp_path / "osnet_x1_0_msmt17.pt").write_bytes(b"here")
    text = listing.text()
    assert max(map(len, text.splitlines())) <= WIDTH + len(str(tmp_path))
    status = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ")}
    assert status["osnet_x1_0_msmt17"].endswith("downloaded")
    assert status["osnet_x0_25_embedded"].endswith("embedded")
    assert status["convnext_base_market1501"].endswith("by hand")
    assert status["resnest101_msmt17"].endswith("no public weights")
    assert "here: 12.50 ms a crop (osnet_x1_0-openvino-fp32, batches of 8)" in text
    assert {entry["status"] for entry in listing.to_dict()["models"]} == {each.value for each in Status}


def test_the_catalogue_needs_no_large_library() -> None:
    script = (
        "import reidkit.export.commands.models, sys; from click.testing import CliRunner; "
        "result = CliRunner().invoke(reidkit.export.commands.models.models, ['--list']); assert result.exit_code == 0; "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_measurements_are_read_as_they_were_written(tmp_path: Path) -> None:
    measurements().write(tmp_path / "measured.json")
    text = (tmp_path / "measured.json").read_text()
    assert Measurements.from_json(text) == measurements()
    assert text == (files("reidkit.export.catalogue") / "measured.json").read_text()


@needs_torch
def test_every_backbone_is_in_the_catalogue_and_has_its_family() -> None:
    from reidkit.export.backbones import backbones

    named = [name for model in catalogue().models.values() for name in (model.backbone, *model.also)]
    assert set(named) == set(backbones()) == set(measurements().backbones)
    for model in catalogue().models.values():
        assert model.family == backbones()[model.backbone].family == measurements().backbones[model.backbone].family


@needs_torch
def test_every_measured_figure_is_that_of_the_built_network() -> None:
    from reidkit.export.backbones import find_backbone
    from reidkit.export.survey import costs

    for name, measured in measurements().backbones.items():
        card = find_backbone(name)
        counted = costs(card)
        assert (measured.embedding_dim, measured.parameters, measured.macs) == counted, name
        assert (measured.height, measured.width) == (card.preprocessing.height, card.preprocessing.width)
        # Four bytes a weight; batch norms are folded into the convolutions, the graph itself comes on top.
        assert measured.onnx_bytes is not None
        assert 0.97 < measured.onnx_bytes / (4 * counted.parameters) < 1.5, name


PUBLISHED_MACS = {
    "osnet_x1_0": 978_875_392,
    "osnet_x0_25": 82_314_880,
    "mobilenetv2_x1_4": 381_800_000,
    "resnet50_fc512": 4_054_000_000,
    "convnext_base": 10_026_909_696,
    "resnest50_sbs": 6_996_000_000,
}
"""Counted by upstream's own tools, or on upstream's own networks."""


@needs_torch
@pytest.mark.parametrize("name", PUBLISHED_MACS)
def test_multiplications_are_those_that_others_count(name: str) -> None:
    from reidkit.export.backbones import find_backbone
    from reidkit.export.survey import costs

    assert costs(find_backbone(name)).macs == pytest.approx(PUBLISHED_MACS[name], rel=1e-3)
