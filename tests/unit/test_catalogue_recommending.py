"""Recommendations: the most accurate model that is cheap enough, judged by what was really measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reidkit.export.catalogue import catalogue
from reidkit.export.catalogue.measurements import measurements
from reidkit.export.catalogue.recommending import USES, Recommendation, recommend_for, recommend_within
from reidkit.runtime import latencies
from reidkit.runtime.errors import InvalidFile, InvalidInput
from reidkit.runtime.latencies import Latency, latencies_file, read_latencies, record_latencies, this_machine


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def timed(backbone: str, latency_ms: float, *, batch: int = 8, target: str = "openvino") -> Latency:
    return Latency(
        backbone=backbone,
        artifact=f"{backbone}-{target}-fp32",
        target=target,
        precision="fp32",
        batch=batch,
        threads=2,
        latency_ms=latency_ms,
        machine=this_machine(),
        measured="2026-01-31T12:00:00+00:00",
    )


def within(budget_ms: float, people: int, *records: Latency, target: str = "openvino") -> Recommendation:
    return recommend_within(
        budget_ms, people, target, catalogue=catalogue(), measured=measurements(), latencies=records
    )


@pytest.mark.parametrize(
    ("use", "name"),
    [
        ("balanced", "osnet_x1_0_msmt17"),
        ("speed", "osnet_x0_5_msmt17"),
        ("accuracy", "resnest50_agw_msmt17"),
        ("mobile", "osnet_x0_5_msmt17"),
        ("edge", "osnet_x0_25_msmt17"),
    ],
)
def test_a_use_has_its_model(use: str, name: str) -> None:
    found = recommend_for(use, catalogue(), measurements())
    assert found.choice.model.name == name
    assert found.choice.gmacs <= USES[use][0]
    assert "MACs" in found.basis


def test_what_nobody_can_have_is_never_recommended() -> None:
    for use in USES:
        found = recommend_for(use, catalogue(), measurements())
        assert all(each.model.has_weights and each.model.accuracy for each in (found.choice, *found.others))


def test_an_unknown_use_is_told() -> None:
    with pytest.raises(InvalidInput, match="did you mean 'balanced'"):
        recommend_for("balance", catalogue(), measurements())


def test_without_a_bench_multiplications_are_taken_at_another_boxs_rate() -> None:
    found = within(200, 20)
    assert found.choice.model.name == "osnet_x0_5_msmt17"
    rate = catalogue().reference_rates["openvino"].gmacs_per_s
    assert found.choice.frame_ms == pytest.approx(20 * found.choice.gmacs / rate * 1000)
    assert "another box: 35 GMACs a second" in found.basis
    assert "not timed here" in found.basis


def test_a_bench_on_this_box_is_believed_instead() -> None:
    found = within(8, 20, timed("osnet_x1_0", 2.0), timed("osnet_x0_25", 1.0))
    assert found.choice.model.name == "osnet_x1_0_msmt17"
    assert found.choice.frame_ms == 6.0
    assert found.basis == "time, measured on this box: osnet_x1_0-openvino-fp32, batches of 8 in 2 ms, 2 threads"


def test_what_was_not_timed_is_reckoned_from_what_was() -> None:
    found = within(200, 8, timed("osnet_x0_25", 1.0))
    gmacs = {name: each.macs / 1e9 for name, each in measurements().backbones.items()}
    assert found.choice.model.name == "resnest50_agw_msmt17"
    assert found.choice.frame_ms == pytest.approx(gmacs["resnest50_agw_2020"] / gmacs["osnet_x0_25"])
    assert found.basis.startswith("time, reckoned from MACs, at the rate of what was measured on this box: osnet_x0_25")


def test_the_best_batch_for_so_many_people_is_taken() -> None:
    records = [timed("osnet_x1_0", 1.5, batch=1), timed("osnet_x1_0", 5.0, batch=8)]
    assert within(100, 2, *records).choice.frame_ms != 3.0  # something larger fits as well
    by_people = {people: min(people * 1.5, -(-people // 8) * 5.0) for people in (1, 2, 4, 20)}
    for people, frame_ms in by_people.items():
        found = within(frame_ms, people, *records)
        assert (found.choice.model.backbone, found.choice.frame_ms) == ("osnet_x1_0", frame_ms)


def test_other_targets_figures_do_not_count() -> None:
    assert within(200, 20, timed("osnet_x0_25", 0.1, target="onnxruntime")).choice.basis == "reference"


def test_a_budget_that_nothing_meets_is_told_with_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="the fastest, osnet_x0_25_msmt17, takes 47 ms"):
        within(8, 20)


def test_a_target_of_unknown_speed_is_not_guessed() -> None:
    with pytest.raises(InvalidInput, match="nothing was measured for tensorrt on this box"):
        within(8, 20, target="tensorrt")
    assert within(8, 20, timed("osnet_x1_0", 2.0, target="tensorrt"), target="tensorrt").choice.basis == "measured"


def test_records_are_kept_by_machine_and_replaced_by_newer_ones() -> None:
    assert read_latencies() == []
    first, other = timed("osnet_x1_0", 2.0), replace(timed("osnet_x1_0", 9.0), machine="another")
    record_latencies([first, other])
    record_latencies([replace(first, latency_ms=3.0), timed("osnet_x1_0", 1.0, batch=1)])
    assert [record.latency_ms for record in read_latencies()] == [3.0, 1.0]
    assert read_latencies(machine="another") == [other]


@pytest.mark.parametrize("text", ["", "[]", '{"schema_version": 2, "records": []}', '{"schema_version": 1}'])
def test_a_file_of_records_that_cannot_be_read_is_told(text: str) -> None:
    latencies_file().parent.mkdir(parents=True)
    latencies_file().write_text(text)
    with pytest.raises(InvalidFile, match="remove it, and measure again"):
        read_latencies()
    with pytest.raises(InvalidFile):
        record_latencies([timed("osnet_x1_0", 2.0)])
    assert latencies_file().read_text() == text


@pytest.mark.parametrize("latency_ms", [0.0, -1.0, float("nan"), float("inf")])
def test_no_batch_takes_such_a_time(latency_ms: float) -> None:
    with pytest.raises(InvalidInput):
        timed("osnet_x1_0", latency_ms)


def test_the_machine_has_a_name() -> None:
    assert latencies.processor() in this_machine()
    assert "logical" in this_machine()
