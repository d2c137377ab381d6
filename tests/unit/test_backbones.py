"""How backbones are found, and what a listing may cost."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="backbones need the extra 'export'")

from reidkit.export.backbones import backbones, find_backbone
from reidkit.runtime.errors import InvalidConfig, InvalidInput

PLUG_IN = """
from dataclasses import replace
from reidkit.export.backbones.osnet import CARDS as OSNETS
CARDS = (replace(OSNETS[0], name={name!r}, family="theirs"),)
"""


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install, as pip would, a package whose one backbone has the name that is given."""

    def install(name: str) -> None:
        info = tmp_path / "theirs-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[reidkit.backbones]\ntheirs = their_backbones:CARDS\n")
        (tmp_path / "their_backbones.py").write_text(PLUG_IN.format(name=name))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "their_backbones", raising=False)
        backbones.cache_clear()

    yield install
    backbones.cache_clear()


def test_a_backbone_is_found_by_its_name() -> None:
    assert find_backbone("osnet_x0_25").name == "osnet_x0_25"


def test_a_near_miss_is_answered_with_the_name_that_was_meant() -> None:
    with pytest.raises(InvalidInput, match=r"no backbone 'osnet_x025': did you mean 'osnet_x0_25'\?"):
        find_backbone("osnet_x025")


def test_a_backbone_of_another_package_joins_by_its_entry_point(plug_in) -> None:
    plug_in("theirs_x1")
    assert find_backbone("theirs_x1").family == "theirs"


def test_a_name_that_is_taken_already_raises(plug_in) -> None:
    plug_in("osnet_x1_0")
    with pytest.raises(InvalidConfig, match="two backbones are called osnet_x1_0"):
        backbones()


def test_a_card_that_the_exporter_could_not_honour_is_refused() -> None:
    card = find_backbone("osnet_x1_0")
    with pytest.raises(InvalidInput, match="uint8"):
        replace(card, preprocessing=replace(card.preprocessing, dtype="float32"))


def test_the_folder_is_imported_without_torch_and_says_when_it_needs_it() -> None:
    program = """
import sys
sys.modules["torch"] = None
from reidkit.export.backbones import backbones
from reidkit.runtime.errors import MissingDependency
try:
    backbones()
except MissingDependency as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "needs torch, which is not installed: pip install 'reidkit[export]'" in done.stdout
