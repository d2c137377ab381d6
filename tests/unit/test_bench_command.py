"""`reidkit bench`: what it measures, what it keeps, what it chooses; however fast the machine is."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tiny_artifact import altered, tiny_artifact, tiny_bundle
from tiny_manifest import Tiny

from reidkit.calibration.benchmark.choice import Smaller, choose, expect_one_network
from reidkit.calibration.benchmark.contender import Contender
from reidkit.calibration.benchmark.contest import Figure, Measured, Run, measure, usual_batches, usual_threads
from reidkit.calibration.benchmark.worker import Turn, peak_mib
from reidkit.calibration.commands.bench import bench
from reidkit.runtime.artifact import read_artifact
from reidkit.runtime.artifact.manifest import Batch
from reidkit.runtime.errors import (
    ArtifactInvalid,
    EngineFailure,
    EngineNotBuilt,
    GateFailure,
    InvalidInput,
    MissingDependency,
    NonFiniteEmbedding,
    ReidkitError,
)
from reidkit.runtime.latencies import read_latencies, this_machine

pytest.importorskip("onnxruntime", reason="what is measured here runs with it: install the extra 'onnxruntime'")


def run(*arguments: object) -> Result:
    quick = ["--seconds", "0", "--rounds", "2", "--threads", "1"]
    return CliRunner().invoke(bench, [*quick, *(str(argument) for argument in arguments)])


def report_of(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    return report


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return tiny_artifact(tmp_path)


def test_every_figure_of_every_artifact_is_told_and_kept(tmp_path: Path) -> None:
    artifacts = [tiny_artifact(tmp_path, name="one"), tiny_artifact(tmp_path, Tiny(dtype="float32"), name="other")]
    report = report_of(*artifacts, "--batch", "1,4", "--threads", "1,2", "--rounds", "3")
    assert report["machine"] == this_machine()
    assert [each["name"] for each in report["artifacts"]] == ["one", "other"]
    for each, folder in zip(report["artifacts"], artifacts, strict=True):
        files = {path.name: path.stat().st_size for path in folder.iterdir()}
        assert each["bytes"] == sum(size for name, size in files.items() if not name.startswith("manifest"))
        assert [run["threads"] for run in each["runs"]] == [1, 2]
        for one in each["runs"]:
            assert 0 < one["open_ms"] < one["start_ms"]
            assert (one["device"], one["execution"]["providers"]) == ("cpu", ["CPUExecutionProvider"])
            assert one["peak_mib"] > 10
            assert [figure["batch"] for figure in one["figures"]] == [1, 4]
            for figure in one["figures"]:
                assert figure["samples"] >= 3
                assert 0 < figure["p50_ms"] <= figure["p95_ms"] <= figure["p99_ms"]
                assert figure["crops_per_s"] > 0
                assert figure["cpu_ms"] > 0
    kept = {(record.artifact, record.batch, record.threads): record for record in read_latencies()}
    for each in report["artifacts"]:
        for one in each["runs"]:
            for figure in one["figures"]:
                record = kept[each["name"], figure["batch"], one["threads"]]
                assert record.latency_ms == pytest.approx(figure["p50_ms"], abs=1e-4)
                assert (record.backbone, record.target, record.precision) == ("tiny", "onnxruntime", "fp32")


def test_the_text_has_a_line_for_every_figure(artifact: Path) -> None:
    result = run(artifact, "--batch", "1,2,4", "--auto")
    assert result.exit_code == 0, result.output
    times, costs, frame, take = result.stdout.rstrip().split("\n\n")
    assert len(times.splitlines()) == 1 + 3 + 1  # a frame of eight, which the artifact takes in two batches
    assert len(costs.splitlines()) == 1 + 1
    assert frame.startswith("8 people a frame:\n")
    assert take.splitlines()[0] == f"take onnxruntime fp32: reid-track --reid {artifact} --threads 1"


def test_a_frame_is_timed_as_a_run_embeds_it_and_not_kept_as_a_batch(tmp_path: Path) -> None:
    artifact = tiny_artifact(tmp_path, name="framed")
    report = report_of(artifact, "--batch", "2", "--people", "7", "--auto")
    (one,) = report["artifacts"][0]["runs"]
    assert [figure["batch"] for figure in one["figures"]] == [2, 7]
    (choice,) = report["auto"]["choices"]
    assert (choice["batch"], choice["frame_ms"]) == (4, one["figures"][1]["p50_ms"])
    assert [record.batch for record in read_latencies() if record.artifact == "framed"] == [2]


def test_by_default_an_artifacts_own_sizes_are_measured() -> None:
    assert usual_batches(Batch(dynamic=True, max=32, buckets=[])) == [1, 8, 32]
    assert usual_batches(Batch(dynamic=True, max=4, buckets=[])) == [1, 4]
    assert usual_batches(Batch(dynamic=False, max=16, buckets=[2, 16])) == [2, 16]
    usable = len(os.sched_getaffinity(0))
    assert usual_threads()[0] == 1
    assert usual_threads()[-1] == usable


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_engines_of_every_input_are_fed(tmp_path: Path, layout: Any) -> None:
    artifacts = [
        tiny_artifact(tmp_path, Tiny(dtype=dtype, layout=layout, where=where), name=f"{dtype}-{where}")
        for dtype, where in (("uint8", "graph"), ("float32", "runtime"))
    ]
    assert len(measure(artifacts, threads=[1], batches=[2], rounds=1, seconds=0)) == 2


def test_the_contenders_take_turns_and_each_begins_a_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts = [tiny_artifact(tmp_path, name=name) for name in ("a", "b", "c")]
    order: list[str] = []
    told: list[tuple[int, int]] = []
    take_turn = Contender.take_turn

    def noted(self: Contender, turn: Turn) -> Any:
        order.append(self._name)
        return take_turn(self, turn)

    monkeypatch.setattr(Contender, "take_turn", noted)
    measure(artifacts, threads=[1], batches=[1], rounds=3, seconds=0, on_turn=lambda done, of: told.append((done, of)))
    assert "".join(order) == "abcbcacab"
    assert told == [(done, 9) for done in range(1, 10)]


def test_an_error_of_the_worker_is_the_commands(tmp_path: Path, artifact: Path) -> None:
    missing = run(tmp_path / "missing", "--json")
    assert (missing.exit_code, json.loads(missing.stdout)["error"]["type"]) == (4, "ArtifactInvalid")
    bundle = tiny_bundle(tmp_path / "bundle")
    with pytest.raises(EngineNotBuilt, match="reidkit build"):
        Contender(bundle, threads=1, trusted=False)
    nan = tiny_artifact(tmp_path, Tiny(black="nan"), name="nan")
    altered(nan, engine="no-such-engine")
    with pytest.raises(ArtifactInvalid, match="no-such-engine"):
        measure([artifact, nan], threads=[1], rounds=1, seconds=0)


def test_a_worker_that_dies_is_told_and_nothing_is_kept(artifact: Path) -> None:
    with Contender(artifact, threads=1, trusted=False) as contender:
        contender._process.kill()
        with pytest.raises(EngineFailure, match="the process that ran tiny died of SIGKILL"):
            contender.take_turn(Turn(batch=1, seconds=0))


def test_no_process_is_left(artifact: Path) -> None:
    with Contender(artifact, threads=1, trusted=False) as contender:
        process = contender._process
        assert process.poll() is None
    assert process.poll() is not None


def test_ctrl_c_is_for_who_measures_and_not_for_the_worker(artifact: Path) -> None:
    program = """if True:
        import os, signal, sys
        from pathlib import Path
        from reidkit.calibration.benchmark.contender import Contender, Turn
        with Contender(Path(sys.argv[1]), threads=1, trusted=False) as contender:
            try:
                os.killpg(0, signal.SIGINT)
            except KeyboardInterrupt:
                print(len(contender.take_turn(Turn(batch=1, seconds=0)).wall_ms))
    """
    command = [sys.executable, "-c", program, artifact]
    done = subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


@pytest.mark.parametrize("seconds", ["0", "0.3"])
def test_a_worker_ends_in_silence_with_who_measures(artifact: Path, seconds: str) -> None:
    program = """if True:
        import os, signal, sys
        from pathlib import Path
        from reidkit.calibration.benchmark.contender import Contender, Turn
        contender = Contender(Path(sys.argv[1]), threads=1, trusted=False)
        contender._pipe.send(Turn(batch=1, seconds=float(sys.argv[2])))
        if sys.argv[2] == "0":
            contender._pipe.poll(None)  # the answer is there, and nobody takes it
        os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-c", program, artifact, seconds]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # ends once the worker has
    assert (done.returncode, done.stderr) == (-9, "")


def test_more_crops_than_an_artifact_takes_at_once_are_refused(artifact: Path) -> None:
    with pytest.raises(InvalidInput, match="tiny takes at most 4 crops at once, not 8"):
        measure([artifact], batches=[1, 8])
    with pytest.raises(InvalidInput, match="named twice"):
        measure([artifact, artifact])
    with pytest.raises(InvalidInput, match="named twice"):
        measure([artifact, artifact.parent / "elsewhere" / ".." / artifact.name])
    with pytest.raises(InvalidInput, match="9999 threads on"):
        measure([artifact], threads=[1, 9999])
    with pytest.raises(InvalidInput, match="for nan seconds"):
        measure([artifact], seconds=float("nan"))


@pytest.mark.parametrize("argument", ["--batch=0", "--batch=1,", "--threads=two", "--rounds=0", "--seconds=-1"])
def test_senseless_arguments_are_usage_errors(artifact: Path, argument: str) -> None:
    assert run(artifact, argument).exit_code == 2


def test_a_device_is_handed_on_and_its_times_are_not_kept(artifact: Path) -> None:
    report = report_of(artifact, "--device", "cpu")
    assert (report["device"], report["recorded"]) == ("cpu", None)
    result = run(artifact, "--device", "abacus")
    assert (result.exit_code, "abacus" in result.stderr) == (1, True)


def test_times_that_cannot_be_kept_are_told_all_the_same(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    told, report = run(artifact), run(artifact, "--json")
    assert (told.exit_code, told.stdout.split()[0]) == (0, "artifact")
    assert "warning: the times are told and not kept: cannot write to " in told.stderr
    assert (report.exit_code, json.loads(report.stdout)["recorded"]) == (0, None)


def measured(name: str, **milliseconds: float) -> Measured:
    """An artifact for 8 crops at once as if it took so long: ``b8t2=9.0`` for 8 crops with two threads."""
    tiny = read_artifact(TINY)[0]
    tiny = replace(tiny, batch=replace(tiny.batch, max=8))
    runs = [
        Run(
            threads=int(key[-1]),
            open_ms=1,
            start_ms=2,
            peak_mib=None,
            device="cpu",
            execution={},
            figures=[
                Figure(batch=int(key[1:-2]), samples=1, p50_ms=ms, p95_ms=ms, p99_ms=ms, cpu_ms=ms, crops_per_s=1)
            ],
        )
        for key, ms in milliseconds.items()
    ]
    return Measured(artifact=Path(name), manifest=replace(tiny, name=name), bytes=1, runs=runs)


TINY = Path()


@pytest.fixture(autouse=True, scope="module")
def _tiny(tmp_path_factory: pytest.TempPathFactory) -> None:
    global TINY
    TINY = tiny_artifact(tmp_path_factory.mktemp("tiny"))


def test_the_choice_is_what_a_frame_of_so_many_people_takes_least_time_with() -> None:
    both = [measured("one", b1t1=1.0, b8t1=6.0, b8t2=5.0, b9t2=7.0), measured("other", b1t1=2.0, b8t2=4.5, b9t1=6.5)]
    few, eight, many = (choose(both, people=people) for people in (1, 8, 9))
    assert [(choice.artifact, choice.batch, choice.threads, choice.frame_ms) for choice in few] == [
        ("one", 1, 1, 1.0),
        ("other", 1, 1, 2.0),
    ]
    assert [(choice.artifact, choice.threads, choice.frame_ms) for choice in eight] == [
        ("other", 2, 4.5),
        ("one", 2, 5.0),
    ]
    assert [(choice.artifact, choice.batch, choice.frame_ms) for choice in many] == [("other", 8, 6.5), ("one", 8, 7.0)]


def test_a_batching_that_no_run_does_wins_nothing_and_is_told() -> None:
    """A run gives the engine all eight crops at once, however quick they were one by one."""
    first, second = choose([measured("int8", b1t1=2.0, b8t1=20.0), measured("fp32", b1t1=3.0, b8t1=18.0)], people=8)
    assert (first.artifact, first.frame_ms, first.smaller) == ("fp32", 18.0, None)
    assert (second.artifact, second.frame_ms) == ("int8", 20.0)
    assert second.smaller == Smaller(batch=1, threads=1, frame_ms=16.0)


def test_networks_that_differ_are_not_chosen_among(tmp_path: Path, artifact: Path) -> None:
    manifest = read_artifact(artifact)[0]
    other = replace(manifest, backbone=replace(manifest.backbone, name="bigger"), name="bigger")
    expect_one_network([manifest, manifest])
    with pytest.raises(InvalidInput, match="these are of 2: tiny, bigger"):
        expect_one_network([manifest, other])
    folder = altered(tiny_artifact(tmp_path / "other", name="bigger"), backbone=other.backbone)
    assert run(artifact, folder, "--auto").exit_code == 1
    assert run(artifact, folder).exit_code == 0


def test_the_peak_is_this_process_own() -> None:
    before = peak_mib()
    assert before is not None
    np.ones(64 << 20, np.uint8)
    after = peak_mib()
    assert after is not None
    assert after >= before


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("wrong", remedy="right it"),
        MissingDependency("openvino", extra="openvino", purpose="This"),
        NonFiniteEmbedding([3], artifact="it"),
        GateFailure("no", report={"passed": False}),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_come_whole_from_another_process(error: ReidkitError) -> None:
    back = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert back.args == error.args
    assert vars(back) == vars(error)
