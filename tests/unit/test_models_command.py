"""`reid-models` from outside: what it prints, where it leaves, and that nothing changes when it fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from web_server import WebServer, status, web_server, whole

from reidkit.export.catalogue import catalogue
from reidkit.export.commands.models import models
from reidkit.export.weights import embedded_weights
from reidkit.runtime.commands import main

WEIGHTS = embedded_weights("osnet_x0_25").read_bytes()


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("REIDKIT_MIRROR", raising=False)
    monkeypatch.delenv("REIDKIT_OFFLINE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def mirror() -> Iterator[WebServer]:
    with web_server() as running:
        yield running


def run(*arguments: str) -> Result:
    return CliRunner().invoke(models, arguments)


def report(*arguments: str) -> dict[str, object]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def test_without_an_option_it_lists() -> None:
    assert run().stdout == run("--list").stdout
    assert "resnest101_msmt17" in run().stdout


def test_the_list_for_programs_names_every_model() -> None:
    listed = report("--list")["models"]
    assert [model["name"] for model in listed] == list(catalogue().models)  # type: ignore[attr-defined, index]


def test_it_is_a_member_of_reidkit() -> None:
    result = CliRunner().invoke(main, ["models", "--recommend", "edge"])
    assert result.stdout.startswith("osnet_x0_25_msmt17: mAP 29.5 on MSMT17")


def test_recommend_has_a_default_and_says_what_it_judged_by() -> None:
    bare, named = run("--recommend"), run("--recommend", "balanced")
    assert bare.stdout == named.stdout
    assert "judged by MACs" in bare.stdout
    assert bare.stdout.splitlines()[-1] == "next step: reid-models --download osnet_x1_0_msmt17"
    assert run("--recommend", "fastest").exit_code == 1


def test_recommend_takes_a_budget() -> None:
    budget = ("--recommend", "--budget-ms", "200", "--people", "20", "--target", "openvino")
    found = report(*budget)["recommended"]
    assert (found["name"], found["basis"]) == ("osnet_x0_5_msmt17", "reference")  # type: ignore[index]
    assert "not timed here" in run(*budget).stdout
    misspelt = run(*budget[:-1], "opnvino")
    assert (misspelt.exit_code, "did you mean 'openvino'?" in misspelt.stderr) == (1, True)
    nothing = run("--recommend", "--budget-ms", "8", "--people", "20", "--target", "openvino")
    assert nothing.exit_code == 1
    assert "the fastest, osnet_x0_25_msmt17, takes 47 ms" in nothing.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["osnet_x1_0"], "what should be done with osnet_x1_0"),
        (["--recommend", "--budget-ms", "8"], "go together"),
        (["--budget-ms", "8", "--people", "20", "--target", "openvino"], "with --recommend"),
        (["--download", "a", "b", "--sha256", "0" * 64], "one NAME"),
        (["--download", "all", "--sha256", "0" * 64], "one NAME"),
        (["--download", "all", "osnet_x1_0"], "stands for every NAME"),
        (["--list", "--force"], "--force can change nothing without --download"),
        (["--list", "--sha256", "0" * 64], "--sha256 can change nothing without --download"),
        (
            ["--use", "osnet_x1_0", "--mirror", "file:///", "--offline"],
            "--mirror, --offline can change nothing without",
        ),
        (["--download", "osnet_x1_0", "--config", "mine.yaml"], "--config can change nothing without --use"),
        (["--recommend", "--budget-ms", "nan", "--people", "1", "--target", "openvino"], "not a finite number"),
        (["--recommend", "--budget-ms", "0", "--people", "1", "--target", "openvino"], "--budget-ms"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_downloads_say_where_they_are_and_what_to_do_next(mirror: WebServer, own_place: Path) -> None:
    for name in ("osnet_x1_0_msmt17.pt", "mobilenetv2_x1_4_msmt17.pt", "osnet_x0_5_msmt17.pt"):
        mirror.serve(f"/{name}", whole(WEIGHTS))
    names = ("--download", "osnet_x1_0_msmt17.pt", "--download", "osnet_x0_5_msmt17", "mobilenetv2_x1_4")
    result = run(*names, "--mirror", mirror.address(""))
    assert result.exit_code == 0, result.stderr
    folder = own_place / "cache" / "reidkit" / "weights"
    next_step = "next step: reid-export --model mobilenetv2_x1_4_msmt17 --target onnxruntime --output artifacts"
    assert result.stdout.splitlines()[-1] == next_step
    assert result.stdout.count("downloaded and locked") == 3
    assert (folder / "mobilenetv2_x1_4_msmt17.pt").read_bytes() == WEIGHTS
    assert "trained on images of these terms: academic research only" in result.stdout
    again = report("--download", "osnet_x1_0")["downloaded"]
    assert again[0]["new"] is False  # type: ignore[index]
    assert len(mirror.asked) == 3


def test_a_backbone_that_is_not_the_models_own_is_named_with_the_file(mirror: WebServer, own_place: Path) -> None:
    mirror.serve("/clip_vit_b16_market1501.pt", whole(WEIGHTS))
    result = run("--download", "clip_vit_b16_trunk", "--mirror", mirror.address(""))
    path = own_place / "cache" / "reidkit" / "weights" / "clip_vit_b16_market1501.pt"
    assert f"next step: reid-export --model clip_vit_b16_trunk --weights {path} --target" in result.stdout


def test_the_environment_names_the_mirror_and_takes_the_network_away(
    mirror: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REIDKIT_MIRROR", mirror.address("/reid"))
    monkeypatch.setenv("REIDKIT_OFFLINE", "1")
    result = run("--download", "osnet_x1_0")
    assert (result.exit_code, "downloads are off" in result.stderr) == (1, True)
    monkeypatch.setenv("REIDKIT_OFFLINE", "0")
    mirror.serve("/reid/osnet_x1_0_msmt17.pt", whole(WEIGHTS))
    assert run("--download", "osnet_x1_0").exit_code == 0


def test_a_model_without_public_weights_stops_before_anything_is_fetched(mirror: WebServer) -> None:
    result = run("--download", "osnet_x1_0", "resnest101_msmt17.pt", "--mirror", mirror.address(""))
    assert result.exit_code == 1
    assert result.stderr == "error: resnest101_msmt17: no public weights: bring your own with --weights\n"
    assert not mirror.asked
    as_json = run("--download", "convnext_small", "--json")
    assert json.loads(as_json.stdout)["error"] == {
        "type": "InvalidInput",
        "message": "convnext_small_msmt17: no public weights",
        "remedy": "bring your own with --weights",
    }


def test_all_fetches_what_it_can_and_tells_what_it_could_not(mirror: WebServer, own_place: Path) -> None:
    published = [model.name for model in catalogue().models.values() if model.addresses]
    for name in published:
        mirror.serve(f"/{name}.pt", whole(WEIGHTS))
    mirror.serve("/osnet_x0_5_msmt17.pt", status(403))
    pinned = {name for name in published if catalogue().models[name].sha256}
    result = run("--download", "all", "--mirror", mirror.address(""))
    assert result.exit_code == 1
    here = {path.stem for path in (own_place / "cache" / "reidkit" / "weights").glob("*.pt")}
    assert here == set(published) - pinned - {"osnet_x0_5_msmt17"}
    assert "failed: " in result.stderr
    assert "refuses access (403" in result.stderr
    assert result.stderr.count("failed: ") == 1 + len(pinned)
    assert "left out: convnext_base_market1501" in result.stderr
    assert result.stderr.endswith(f"error: {1 + len(pinned)} of {len(published)} downloads failed\n")
    as_json = run("--download", "all", "--mirror", mirror.address(""), "--json")
    assert as_json.exit_code == 1
    assert len(json.loads(as_json.stdout)["downloaded"]) == len(here)
    assert json.loads(as_json.stdout)["error"]["type"] == "DownloadFailure"


def test_download_and_use_go_together(mirror: WebServer, own_place: Path) -> None:
    mirror.serve("/osnet_x1_0_msmt17.pt", whole(WEIGHTS))
    (own_place / "botsort.yaml").write_text("model: other.pt  # mine\nembedding_dim: 128\n")
    name = "osnet_x1_0_msmt17.pt"
    result = run("--download", name, "--use", name, "--mirror", mirror.address(""))
    assert result.exit_code == 0, result.stderr
    assert (own_place / "botsort.yaml").read_text() == "model: osnet_x1_0_msmt17.pt  # mine\nembedding_dim: 512\n"
    assert "-model: other.pt  # mine\n-embedding_dim: 128\n+model: osnet_x1_0_msmt17.pt  # mine" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("next step: reid-export --model osnet_x1_0_msmt17 --target ")


def test_a_download_that_fails_leaves_the_settings_alone(mirror: WebServer, own_place: Path) -> None:
    (own_place / "botsort.yaml").write_text("model: other.pt\n")
    result = run("--download", "osnet_x1_0", "--use", "osnet_x1_0", "--mirror", mirror.address(""))
    assert result.exit_code == 1
    assert (own_place / "botsort.yaml").read_text() == "model: other.pt\n"


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("osnet_x1_0", "reid-models --download osnet_x1_0_msmt17"),
        ("osnet_x0_25_embedded", "reid-export --model osnet_x0_25_embedded --target onnxruntime --output artifacts"),
        ("resnest101_msmt17", "reid-export --model resnest101_sbs --weights YOURS.pth --target onnxruntime"),
    ],
)
def test_use_says_what_is_still_to_do(name: str, step: str, own_place: Path) -> None:
    (own_place / "botsort.yaml").write_text("schema: reidkit\n")
    assert run("--use", name).stdout.splitlines()[-1].startswith(f"next step: {step}")


def test_use_needs_a_settings_file_and_another_may_be_named(own_place: Path) -> None:
    result = run("--use", "osnet_x1_0")
    assert result.exit_code == 1
    assert "there is no settings file botsort.yaml" in result.stderr
    (own_place / "mine.yaml").write_text("schema: reidkit\n")
    used = report("--use", "osnet_x0_25_msmt17", "--config", "mine.yaml")["used"]
    assert used["changed"] == {  # type: ignore[index]
        "reid_model": "osnet_x0_25_msmt17.pt",
        "embedding_dim": 512,
        "min_iou_for_appearance": 0.05,
        "min_cosine": 0.75,
    }
    assert "says all this already" in run("--use", "osnet_x0_25_msmt17", "--config", "mine.yaml").stdout
