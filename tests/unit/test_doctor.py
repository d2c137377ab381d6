"""`reidkit doctor`: what it reads of a box, and what it says of this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from reidkit.runtime.box import read_box
from reidkit.runtime.box.libraries import Library, extras_with, libraries_of
from reidkit.runtime.box.memory import Memory, read_memory
from reidkit.runtime.box.nvidia import Gpu, Nvidia, read_gpus, read_jetson_linux, read_nvidia
from reidkit.runtime.box.processor import read_processor
from reidkit.runtime.engines import engines
from reidkit.runtime.native import instruction_set
from reidkit.targets import find_target, targets
from reidkit.targets._diagnosis import _remedy, examine_engines, examine_targets
from reidkit.targets.commands.doctor import doctor
from reidkit.targets.self_test import Outcome, prove_apart, tiny

NO_NVIDIA = Nvidia(driver=None, gpus=[], cuda=None, jetson_linux=None, jetpack=None, tensorrt=None)

JETSON = {
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed",
    "etc/os-release": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\nNAME="Ubuntu"\n',
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd aes fphp asimdhp asimddp\nCPU part\t: 0xd42\n",
    "proc/meminfo": "MemTotal:        7802892 kB\nMemFree:         1000000 kB\nMemAvailable:    6291456 kB\n",
    "proc/driver/nvidia/version": (
        "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  (buildbrain@x)\n"
    ),
    "usr/lib/aarch64-linux-gnu/libnvinfer.so.10.3.0": "",
    "usr/lib/aarch64-linux-gnu/libnvinfer.so.10": "",
    "usr/local/cuda/version.json": '{"cuda": {"name": "CUDA SDK", "version": "12.6.11"}}',
    "var/lib/dpkg/status": "Package: zip\nVersion: 3.0\n\nPackage: nvidia-jetpack\nStatus: ok\nVersion: 6.2+b77\n\n",
}
PI = {
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd asimddp\n\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
    "sys/fs/cgroup/memory.max": "2147483648\n",
}
PC = {
    "proc/cpuinfo": "model name\t: Xeon\nflags\t\t: fpu avx2 avx512f avx512_vnni amx_bf16 amx_tile amx_int8\n",
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19\n",
    "sys/fs/cgroup/memory.max": "max\n",
}


def lay_out(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def run(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(doctor, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    return report


@pytest.fixture
def no_nvidia_smi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("no_nvidia_smi")
def test_a_jetson_is_read(tmp_path: Path) -> None:
    box = read_box(lay_out(tmp_path, JETSON))
    assert box.system.name == "Ubuntu 22.04.5 LTS"
    assert box.system.board == "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    assert box.processor.instructions == ["NEON", "NEON FP16", "NEON dot product"]
    assert box.processor.fast_precisions == ["fp16", "int8"]
    assert box.memory == Memory(total_mib=7620, available_mib=6144, limit_mib=None)
    assert box.nvidia == Nvidia(
        driver="540.4.0", gpus=[], cuda="12.6.11", jetson_linux="36.4.3", jetpack="6.2+b77", tensorrt="10.3.0"
    )


@pytest.mark.usefixtures("no_nvidia_smi")
def test_a_jetson_without_its_package_list_is_known_by_its_release(tmp_path: Path) -> None:
    files = {name: text for name, text in JETSON.items() if name != "var/lib/dpkg/status"}
    assert read_nvidia(lay_out(tmp_path / "6", files)).jetpack == "6"
    unheard_of = {"etc/nv_tegra_release": "# R99 (release), REVISION: 1.0, GCID: 1"}
    assert read_nvidia(lay_out(tmp_path / "99", unheard_of)).jetpack is None


@pytest.mark.usefixtures("no_nvidia_smi")
def test_a_raspberry_pi_is_read(tmp_path: Path) -> None:
    box = read_box(lay_out(tmp_path, PI))
    assert box.system.board == box.processor.name == "Raspberry Pi 5 Model B Rev 1.0"
    assert box.processor.fast_precisions == ["int8"]
    assert box.memory == Memory(total_mib=None, available_mib=None, limit_mib=2048)
    assert box.nvidia == NO_NVIDIA


@pytest.mark.usefixtures("no_nvidia_smi")
def test_a_pc_is_read(tmp_path: Path) -> None:
    box = read_box(lay_out(tmp_path, PC))
    assert box.processor.instructions == ["AVX2", "AVX-512", "AVX-512 VNNI", "AMX INT8", "AMX BF16"]
    assert (box.nvidia.driver, box.memory.limit_mib, box.system.board) == ("535.129.03", None, None)


@pytest.mark.usefixtures("no_nvidia_smi")
def test_nothing_of_a_box_need_be_there(tmp_path: Path) -> None:
    box = read_box(tmp_path)
    assert box.nvidia == NO_NVIDIA
    assert box.processor.instructions == []


def test_the_drivers_tool_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, script, gpus, cuda in (
        ("answers", 'if [ "$1" ]; then echo "Orin, [N/A], 8.7"; else echo "| CUDA Version: 12.6  |"; fi', 1, "12.6"),
        ("has no driver", "echo could not communicate with the NVIDIA driver; exit 9", 0, None),
    ):
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        found = read_nvidia(tmp_path)
        assert (len(found.gpus), found.cuda) == (gpus, cuda), name


def test_listings_are_read() -> None:
    assert read_gpus("Orin (nvgpu), [N/A], [N/A]\nNVIDIA RTX A2000, 12282, 8.6\n") == [
        Gpu(name="Orin (nvgpu)", memory_mib=None, compute_capability=None),
        Gpu(name="NVIDIA RTX A2000", memory_mib=12282, compute_capability="8.6"),
    ]
    assert str(read_gpus("NVIDIA RTX A2000, 12282, 8.6")[0]) == "NVIDIA RTX A2000, 12282 MiB, compute capability 8.6"
    assert read_gpus("No devices were found") == []
    assert read_jetson_linux("something else") is None


def test_extras_tell_their_libraries_however_they_are_spelt() -> None:
    assert [library.name for library in libraries_of("tensorrt")] == ["tensorrt", "cuda-bindings"]
    assert libraries_of("tensorrt_rtx") == libraries_of("tensorrt-rtx") != []
    assert libraries_of("no such extra") == []
    assert "openvino" in extras_with("OpenVINO")
    assert "all" not in extras_with("openvino")


def test_another_build_of_a_library_is_that_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As onnxruntime-gpu is onnxruntime: its distribution has a name of its own, the module has not."""
    for name, extra in (
        ("mine", "Requires-Dist: absent-lib>=2.0; extra == 'it'\nProvides-Extra: it"),
        ("absent-gpu", ""),
    ):
        about = tmp_path / f"{name.replace('-', '_')}-1.5.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n{extra}\n")
        (about / "RECORD").write_text("" if extra else "absent_lib/__init__.py,,\n")
    missing = Library(name="absent-lib", least="2.0", version=None)
    monkeypatch.syspath_prepend(str(tmp_path))
    (library,) = libraries_of("it", package="mine")
    assert library == Library(name="absent-gpu", least="2.0", version="1.5")
    assert extras_with("absent-lib", package="mine") == ["it"]
    assert missing.reason == "absent-lib is not installed"
    assert library.reason == "absent-gpu 1.5 is installed, 2.0 or later is needed"
    assert _remedy(library.reason, extra="it", nvidia=NO_NVIDIA) == "pip install --upgrade absent-gpu"


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("2.10.0", None),
        ("2.9", "it 2.9 is installed, 2.10 or later is needed"),
        ("2.13.0+cpu", None),
        (None, "it is not installed"),
    ],
)
def test_versions_are_compared_as_numbers(version: str | None, reason: str | None) -> None:
    assert Library(name="it", least="2.10", version=version).reason == reason


@pytest.mark.parametrize(
    ("files", "usable", "limit_mib"),
    [
        ({}, None, None),
        ({"cpu.max": "max 100000", "memory.max": "max"}, None, None),
        ({"cpu.max": "50000 100000"}, 1, None),
        ({"cpu.max": "6400000 100000"}, None, None),
        ({"system.slice/cpu.max": "max 100000", "system.slice/reid.service/cpu.max": "100000 100000"}, 1, None),
        ({"system.slice/memory.max": "536870912", "system.slice/reid.service/memory.max": "1073741824"}, None, 512),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, None),
        ({"cpu/cpu.cfs_quota_us": "20000", "cpu/cpu.cfs_period_us": "100000"}, 1, None),
        ({"cpu/box/cpu.cfs_quota_us": "20000", "cpu/box/cpu.cfs_period_us": "100000"}, 1, None),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, None, None),
        ({"memory/memory.limit_in_bytes": "268435456"}, None, 256),
    ],
)
def test_a_container_or_a_service_may_have_less_than_the_machine(
    files: dict[str, str], usable: int | None, limit_mib: int | None, tmp_path: Path
) -> None:
    groups = "4:cpu,cpuacct:/box\n3:memory:/docker/5f2a\n1:name=systemd:/x\n0::/system.slice/reid.service\n"
    lay_out(tmp_path, {"proc/self/cgroup": groups, "proc/meminfo": "MemTotal: 4000000 kB\n"})
    lay_out(tmp_path, {f"sys/fs/cgroup/{name}": f"{text}\n" for name, text in files.items()})
    assert read_processor(tmp_path).usable == (usable or len(os.sched_getaffinity(0)))
    assert read_memory(tmp_path).limit_mib == limit_mib


def test_what_it_says_of_this_machine_is_so() -> None:
    report = run()
    assert report["kernels"] == instruction_set()
    assert report["box"]["processor"]["logical"] == os.cpu_count()
    assert list(report["engines"]) == list(engines())
    assert list(report["targets"]) == list(targets())
    flags = Path("/proc/cpuinfo").read_text().split()
    assert ("AVX-512 BF16" in report["box"]["processor"]["instructions"]) == ("avx512_bf16" in flags)
    for name, target in report["targets"].items():
        assert target["build"]["possible"] == (find_target(name).available() is None)
        assert bool(target["build"]["reason"]) == (not target["build"]["possible"])
        assert bool(target["run"]["reason"]) == (not target["run"]["possible"])
        if target["run"]["possible"]:
            assert engines()[target["engine"]].load().available() is None


def test_the_text_names_every_target_and_every_reason() -> None:
    text = CliRunner().invoke(doctor, []).stdout
    report = run()
    for name, target in report["targets"].items():
        assert f"\n{name} " in text
        for verdict in (target["build"], target["run"]):
            assert verdict["reason"] in text
            assert verdict["remedy"] in text


def test_a_jetson_is_told_where_its_tensorrt_is(monkeypatch: pytest.MonkeyPatch) -> None:
    jetson = Nvidia(driver="540.4.0", gpus=[], cuda="12.6", jetson_linux="36.4.3", jetpack="6", tensorrt="10.3.0")
    if libraries_of("tensorrt")[0].version:
        pytest.skip("TensorRT is installed here")
    found = examine_engines(jetson)["tensorrt"].run
    assert found.reason == "tensorrt is not installed"
    assert found.remedy.endswith("TensorRT 10.3.0 is the system's")
    assert "--system-site-packages" in found.remedy


def test_without_a_gpu_a_portable_target_still_has_a_way() -> None:
    known = examine_engines(NO_NVIDIA)
    assert known["tensorrt"].run.reason == "there is no NVIDIA GPU with a driver here"
    tensorrt = examine_targets(NO_NVIDIA, known)["tensorrt"]
    if tensorrt.build.possible:
        pytest.skip("TensorRT builds here")
    assert "writes a bundle" in tensorrt.build.remedy


def test_a_box_with_the_runtime_alone_has_a_doctor() -> None:
    script = """
import sys
for name in ("torch", "onnx", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "cuda", "scipy", "cv2"):
    sys.modules[name] = None  # as if it were not installed
from reidkit.targets.commands.doctor import doctor
doctor(["--json"])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)["targets"]) == set(targets())


def test_the_tiny_network_is_the_file_and_numpy_agrees_with_onnx(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the extra 'export'")
    from onnx.reference import ReferenceEvaluator

    tiny.write(tmp_path / "tiny.onnx")
    written, kept = onnx.load(tmp_path / "tiny.onnx"), onnx.load(tiny.ONNX_FILE)
    assert [node.op_type for node in written.graph.node] == [node.op_type for node in kept.graph.node]
    golden = tiny.golden()
    crops = np.ascontiguousarray(golden.crops.transpose(0, 3, 1, 2))
    for model in (written, kept):
        (answer,) = ReferenceEvaluator(model).run(None, {"images": crops})
        np.testing.assert_allclose(answer, golden.embeddings, rtol=1e-5, atol=1e-5)


def test_every_target_is_put_to_the_proof() -> None:
    for name in targets():
        outcome = prove_apart(name)
        target = find_target(name)
        runs = engines()[target.engine].load().available() is None
        without = {"evaluated" if name == "coreml" else "built", "not_run"}
        expected = {"not_run"} if target.available() else {"passed", "not_run"} if runs else without
        assert outcome.status in expected, f"{name}: {outcome.detail}"
        if name in ("onnxruntime", "openvino") and target.available() is None:
            assert outcome.status == "passed"


@pytest.mark.parametrize(
    ("last_words", "detail"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "its process died of SIGILL"),
        ("raise ImportError('libnvinfer.so.10: cannot open')", "ImportError: libnvinfer.so.10: cannot open"),
    ],
)
def test_a_library_that_ends_its_process_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, last_words: str, detail: str
) -> None:
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(last_words)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert prove_apart("onnxruntime") == Outcome(status="failed", detail=detail)


def test_a_library_that_computes_wrongly_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnxruntime'")
    from reidkit.runtime.engines.onnxruntime import OnnxRuntimeEngine
    from reidkit.runtime.errors import EngineFailure
    from reidkit.targets.self_test import prove

    right = OnnxRuntimeEngine._run
    monkeypatch.setattr(OnnxRuntimeEngine, "_run", lambda self, batch: np.roll(right(self, batch), 1, axis=1))
    with pytest.raises(EngineFailure, match="gives other embeddings here"):
        prove(find_target("onnxruntime"))
