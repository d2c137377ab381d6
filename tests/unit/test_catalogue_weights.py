"""The weights cache: what is believed, what is locked, and what is never taken for weights."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import pickle
import struct
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from web_server import WebServer, page, status, web_server, whole

from reidkit.export.catalogue import Model, Status, WeightsCache, catalogue
from reidkit.export.catalogue.download import Patience
from reidkit.export.catalogue.models import Digest, Folder
from reidkit.export.catalogue.weights_cache import LOCK_FILE, Wishes
from reidkit.export.catalogue.weights_file import fault
from reidkit.runtime.cache import cache_folder
from reidkit.runtime.errors import DownloadFailure, InvalidFile, InvalidInput

HASTY = Patience(attempts=2, silence_s=2.0, first_pause_s=0.001, longest_pause_s=1.0)


def archive(content: str) -> bytes:
    """A file as PyTorch writes it: an archive with a pickle in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        written.writestr(zipfile.ZipInfo("archive/data.pkl", (1980, 1, 1, 0, 0, 0)), content * 500)
    return file.getvalue()


WEIGHTS, OTHER = archive("weights"), archive("others!")


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> WeightsCache:
    return WeightsCache(tmp_path / "cache" / "weights")


@pytest.fixture
def model(server: WebServer) -> Model:
    published = catalogue().models["osnet_x1_0_msmt17"]
    return replace(published, addresses=(server.serve("/upstream.pth", whole(WEIGHTS)),))


def wishes(**given: object) -> Wishes:
    return Wishes(**{"patience": HASTY, **given})  # type: ignore[arg-type]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_first_download_is_locked(cache: WeightsCache, model: Model) -> None:
    assert cache.status(model) is Status.PUBLISHED
    files = cache.obtain(model, wishes())
    assert files.path.read_bytes() == WEIGHTS
    assert (files.bytes, files.sha256, files.new) == (len(WEIGHTS), sha256(WEIGHTS), True)
    assert cache.status(model) is Status.DOWNLOADED
    lock = json.loads((cache.folder / LOCK_FILE).read_text())["files"]["osnet_x1_0_msmt17.pt"]
    assert (lock["bytes"], lock["sha256"], lock["address"]) == (len(WEIGHTS), files.sha256, model.addresses[0])
    assert not list(cache.folder.glob("*.part*")) + list(cache.folder.glob(".*.part*"))


def test_what_is_here_is_not_fetched_again_but_checked(cache: WeightsCache, model: Model, server: WebServer) -> None:
    path = cache.obtain(model, wishes()).path
    assert not cache.obtain(model, wishes()).new
    assert len(server.asked) == 1
    path.write_bytes(OTHER)
    with pytest.raises(InvalidFile, match=r"--force downloads it again"):
        cache.obtain(model, wishes())
    assert cache.obtain(model, wishes(force=True)).path.read_bytes() == WEIGHTS


def test_another_file_under_the_same_name_is_an_error(cache: WeightsCache, model: Model, server: WebServer) -> None:
    path = cache.obtain(model, wishes()).path
    server.serve("/upstream.pth", whole(OTHER))
    assert len(OTHER) == len(WEIGHTS)
    with pytest.raises(DownloadFailure, match=f"{sha256(OTHER)}, .*reid.lock has had since .* {sha256(WEIGHTS)}"):
        cache.obtain(model, wishes(force=True))
    server.serve("/upstream.pth", whole(OTHER + b"more"))
    with pytest.raises(DownloadFailure, match="if the new file is wanted, pin it with --sha256"):
        cache.obtain(model, wishes(force=True))
    assert path.read_bytes() == WEIGHTS
    assert not list(cache.folder.glob(".*.part"))


def test_a_person_may_pin_the_new_file(cache: WeightsCache, model: Model, server: WebServer) -> None:
    cache.obtain(model, wishes())
    longer = archive("a longer one")
    server.serve("/upstream.pth", whole(longer))
    with pytest.raises(InvalidFile, match="--sha256 pins"):
        cache.obtain(model, wishes(sha256=sha256(longer)))
    cache.obtain(model, wishes(sha256=sha256(longer), force=True))
    assert cache.obtain(model, wishes()).sha256 == sha256(longer)
    assert cache.locks()[model.file_name].sha256 == sha256(longer)


def test_a_pin_that_does_not_fit_leaves_nothing(cache: WeightsCache, model: Model) -> None:
    with pytest.raises(DownloadFailure, match=f"--sha256 pins {sha256(OTHER)}"):
        cache.obtain(model, wishes(sha256=sha256(OTHER)))
    assert cache.status(model) is Status.PUBLISHED
    assert not cache.locks()


@pytest.mark.parametrize("digest", ["", "ab", "g" * 64, "a" * 63, "A" * 64])
def test_a_pin_has_to_be_a_digest(digest: str) -> None:
    with pytest.raises(InvalidInput, match="no SHA-256"):
        Wishes(sha256=digest)


def test_a_digest_of_the_catalogue_holds_the_first_download(cache: WeightsCache, model: Model) -> None:
    known = replace(model, sha256=Digest(digest=sha256(OTHER), source="two-projects"))
    with pytest.raises(DownloadFailure, match=f"the catalogue has {sha256(OTHER)}"):
        cache.obtain(known, wishes())


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<!doctype html><title>Sign in</title>", id="a page that calls itself a file"),
        pytest.param(b'{"error": "quota"}', id="an error in JSON"),
        pytest.param(WEIGHTS[:-30], id="an archive without its end"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", id="a pointer of Git LFS"),
    ],
)
def test_what_is_no_weights_file_is_never_kept(
    content: bytes, cache: WeightsCache, model: Model, server: WebServer
) -> None:
    server.serve("/upstream.pth", whole(content))
    with pytest.raises(DownloadFailure, match="is no weights file"):
        cache.obtain(model, wishes())
    assert cache.status(model) is Status.PUBLISHED
    assert not cache.locks()
    assert not list(cache.folder.glob(".*.part"))


def test_files_are_known_by_their_outside(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {}, "w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    safetensors = struct.pack("<Q", len(header)) + header + b"abcd"
    faults = {
        WEIGHTS: None,
        pickle.dumps({"weights": 1}, protocol=2): None,
        safetensors: None,
        safetensors[:-1]: "1 bytes are missing",
        safetensors + b"e": "1 bytes are too many",
        safetensors[:20]: "its safetensors header cannot be read",
        b"\xff" * 8 + b"{": "it is neither a PyTorch file nor safetensors",
        b"ONNX" * 9: "it is neither a PyTorch file nor safetensors",
    }
    for content, expected in faults.items():
        (tmp_path / "file").write_bytes(content)
        assert fault(tmp_path / "file") == expected


def test_the_next_address_is_asked_where_the_first_fails(cache: WeightsCache, model: Model, server: WebServer) -> None:
    gone = server.serve("/gone", status(404))
    both = replace(model, addresses=(gone, *model.addresses))
    assert cache.obtain(both, wishes()).path.read_bytes() == WEIGHTS
    assert cache.locks()[model.file_name].address == model.addresses[0]
    login = server.serve("/login", page("<title>Log in</title>"))
    with pytest.raises(DownloadFailure, match=r"has no such file.*; .*'Log in'"):
        cache.obtain(replace(model, addresses=(gone, login)), wishes(force=True))


def test_a_mirror_takes_upstreams_place(cache: WeightsCache, model: Model, server: WebServer, tmp_path: Path) -> None:
    server.serve("/mirror/osnet_x1_0_msmt17.pt", whole(WEIGHTS))
    cache.obtain(model, wishes(mirror=server.address("/mirror/")))
    assert [path for path, _ in server.asked] == ["/mirror/osnet_x1_0_msmt17.pt"]
    (tmp_path / model.file_name).write_bytes(WEIGHTS)
    cache.obtain(model, wishes(mirror=tmp_path.as_uri(), force=True, offline=True))
    assert len(server.asked) == 1


def test_offline_no_network_is_touched(cache: WeightsCache, model: Model, server: WebServer) -> None:
    with pytest.raises(DownloadFailure, match="downloads are off"):
        cache.obtain(model, wishes(offline=True))
    with pytest.raises(DownloadFailure, match="downloads are off"):
        cache.obtain(model, wishes(offline=True, mirror=server.address("")))
    assert not server.asked
    cache.obtain(model, wishes())
    cache.obtain(model, wishes(offline=True))


def test_models_without_public_weights_say_so(cache: WeightsCache) -> None:
    for name in ("resnest101_msmt17", "clip_vit_l14_msmt17.pt", "convnext_small"):
        model = catalogue().find(name)
        assert cache.status(model) is Status.NONE
        with pytest.raises(InvalidInput) as caught:
            cache.obtain(model, wishes())
        assert str(caught.value) == f"{model.name}: no public weights: bring your own with --weights"


def test_what_only_a_person_can_fetch_says_how_and_is_locked_once_it_is_here(cache: WeightsCache, model: Model) -> None:
    manual = replace(model, addresses=(), folder=Folder(folder="https://drive.test/folders/1X", item="ConvNeXt"))
    assert cache.status(manual) is Status.BY_HAND
    with pytest.raises(InvalidInput, match=r"open https://drive.test/folders/1X in a browser") as caught:
        cache.obtain(manual, wishes())
    assert str(cache.path(manual)) in str(caught.value)
    cache.folder.mkdir(parents=True)
    cache.path(manual).write_bytes(b"<html>")
    with pytest.raises(InvalidFile, match="is no weights file"):
        cache.obtain(manual, wishes())
    cache.path(manual).write_bytes(WEIGHTS)
    assert cache.obtain(manual, wishes()).new
    assert not cache.obtain(manual, wishes()).new
    assert cache.locks()[manual.file_name].sha256 == sha256(WEIGHTS)


def test_embedded_weights_need_no_download(cache: WeightsCache) -> None:
    model = catalogue().find("osnet_x0_25_embedded")
    files = cache.obtain(model, wishes(offline=True))
    assert files.path.name == "osnet_x0_25.safetensors"
    assert fault(files.path) is None
    assert not cache.folder.exists()
    with pytest.raises(InvalidFile, match=f"has SHA-256 {files.sha256}, --sha256 pins 0000"):
        cache.obtain(model, wishes(sha256="0" * 64))


def test_two_processes_fetch_a_file_once(cache: WeightsCache, model: Model, server: WebServer) -> None:
    asked_twice = threading.Barrier(2)
    server.serve("/upstream.pth", lambda request: (_wait(asked_twice), whole(WEIGHTS)(request))[0])
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_obtain, args=(cache.folder, model)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(server.asked) == 1
    assert cache.path(model).read_bytes() == WEIGHTS


def _wait(barrier: threading.Barrier) -> None:
    """Give a second request the chance to come while the first one is answered."""
    try:
        barrier.wait(0.5)
    except threading.BrokenBarrierError:
        return


def _obtain(folder: Path, model: Model) -> None:
    WeightsCache(folder).obtain(model, Wishes())


def test_a_lock_file_that_cannot_be_read_is_an_error_and_not_a_new_beginning(cache: WeightsCache, model: Model) -> None:
    cache.folder.mkdir(parents=True)
    for content in ("", "{}", '{"files": {"osnet_x1_0_msmt17.pt": {"bytes": 1}}}', '{"files": []}'):
        (cache.folder / LOCK_FILE).write_text(content)
        with pytest.raises(InvalidFile, match="without it no file can be held to what it was"):
            cache.obtain(model, wishes())


def test_a_cache_that_cannot_be_written_to_is_told(cache: WeightsCache, model: Model) -> None:
    cache.folder.parent.mkdir(parents=True)
    cache.folder.write_text("a file where the folder should be")
    with pytest.raises(InvalidFile, match="XDG_CACHE_HOME names another place"):
        cache.obtain(model, wishes())


def test_the_cache_is_where_the_system_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("weights") == tmp_path / "reidkit" / "weights"
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_folder() == Path.home() / ".cache" / "reidkit"
