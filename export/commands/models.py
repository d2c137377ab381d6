"""`reid-models`: which models there are, which to take, fetching their weights, and naming one in the settings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from reidkit.export.catalogue import Model, Status, WeightsCache, catalogue
from reidkit.export.catalogue.download import Progress
from reidkit.export.catalogue.listing import Listing
from reidkit.export.catalogue.measurements import measurements
from reidkit.export.catalogue.recommending import (
    USES,
    YARDSTICK,
    Candidate,
    Recommendation,
    recommend_for,
    recommend_within,
)
from reidkit.export.catalogue.using import Use, use
from reidkit.export.catalogue.weights_cache import Obtained, Wishes
from reidkit.runtime.commands.shell import (
    FiniteRange,
    ProgressLine,
    ReidkitCommand,
    json_option,
    print_json,
)
from reidkit.runtime.errors import DownloadFailure, Interrupted
from reidkit.runtime.latencies import read_latencies
from reidkit.targets import find_target

ALL = "all"
BALANCED = "balanced"
_PROGRESS_S = 0.2


@click.command("models", cls=ReidkitCommand)
@click.option("--list", "lists", is_flag=True, help="Show every model: cost, published accuracy, terms, status.")
@click.option(
    "--recommend",
    is_flag=False,
    flag_value=BALANCED,
    metavar=f"[{'|'.join(USES)}]",
    help="Say which to take, for a use or for a time budget.",
)
@click.option(
    "--budget-ms", type=FiniteRange(min=0, min_open=True), help="With --recommend: milliseconds for a frame …"
)
@click.option("--people", type=click.IntRange(min=1), help="… with so many people …")
@click.option("--target", help="… run by this target, e.g. openvino.")
@click.option(
    "--download",
    "downloads",
    multiple=True,
    metavar="NAME... | all",
    help="Fetch weights into the cache, and lock them.",
)
@click.argument("more", metavar="", nargs=-1)
@click.option("--force", is_flag=True, help="With --download: fetch again what is here; it has to be the same file.")
@click.option("--sha256", help="With --download: what the one file has to be, whatever was locked.")
@click.option("--mirror", envvar="REIDKIT_MIRROR", help="Folder (https://, http://, file://) that holds the files.")
@click.option("--offline", is_flag=True, envvar="REIDKIT_OFFLINE", help="Touch no network.")
@click.option("--use", "used", metavar="NAME | ARTIFACT", help="Name a model, or an artifact's folder, in --config.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default="botsort.yaml",
    show_default=True,
    help="With --use: the tracker's settings file.",
)
@json_option
def models(
    lists: bool,
    recommend: str | None,
    budget_ms: float | None,
    people: int | None,
    target: str | None,
    downloads: tuple[str, ...],
    more: tuple[str, ...],
    force: bool,
    sha256: str | None,
    mirror: str | None,
    offline: bool,
    used: str | None,
    config: Path,
    as_json: bool,
) -> None:
    """Choose, fetch and use re-identification models.

    Names may be those of models (osnet_x1_0_msmt17, with or without .pt) or of backbones (osnet_x1_0). Without an
    option the models are listed. REIDKIT_MIRROR and REIDKIT_OFFLINE stand for --mirror and --offline; proxies are taken
    from https_proxy, http_proxy and no_proxy.
    """
    names = (*downloads, *more)
    if more and not downloads:
        raise click.UsageError(f"what should be done with {more[0]}? Say --download or --use")
    if sha256 is not None and (len(names) != 1 or ALL in names):
        raise click.UsageError("--sha256 goes with --download and one NAME")
    if force and not names:
        raise click.UsageError("--force goes with --download")
    if ALL in names and len(names) > 1:
        raise click.UsageError("--download all stands for every NAME: leave the others out")
    budget = (budget_ms, people, target)
    if any(each is not None for each in budget) and (recommend is None or None in budget):
        raise click.UsageError("--budget-ms, --people and --target go together, with --recommend")
    cache = WeightsCache()
    report: dict[str, Any] = {}
    said: list[str] = []
    if lists or not (recommend or names or used):
        listing = Listing(catalogue(), measurements(), cache, read_latencies())
        report |= listing.to_dict()
        said.append("" if as_json else listing.text())
    if recommend is not None:
        found = _recommend(recommend, budget_ms, people, target)
        report["recommended"] = _recommendation_dict(found)
        said.append(_recommendation_text(found))
    failure: DownloadFailure | None = None
    if names:
        wishes = Wishes(force=force, mirror=mirror, offline=offline, sha256=sha256)
        obtained, failures = _download(names, cache, wishes)
        report["downloaded"] = [_obtained_dict(model, files) for model, files in obtained]
        if failures:
            failure = DownloadFailure(f"{len(failures)} of {len(failures) + len(obtained)} downloads failed")
            report["failed"] = [str(each) for each in failures]
            report["error"] = {"type": type(failure).__name__, "message": failure.message, "remedy": ""}
        said += [_obtained_text(model, files) for model, files in obtained]
    if used is not None and failure is None:
        result = use(used, config)
        report["used"] = result.to_dict()
        said.append(_use_text(result, config))
    if as_json:
        print_json(report)
        raise SystemExit(0 if failure is None else failure.exit_code)
    if said:
        click.echo("\n\n".join(said))
    if failure is not None:
        raise failure


def _recommend(use_name: str, budget_ms: float | None, people: int | None, target: str | None) -> Recommendation:
    if budget_ms is None or people is None or target is None:
        return recommend_for(use_name, catalogue(), measurements())
    find_target(target)  # a misspelt one was not "measured" anywhere either
    return recommend_within(
        budget_ms, people, target, catalogue=catalogue(), measured=measurements(), latencies=read_latencies()
    )


def _recommendation_text(found: Recommendation) -> str:
    model = found.choice.model
    lines = [
        f"{model.name}: {_figures(found.choice)}",
        f"  the most accurate for {found.limit}",
        f"  judged by {found.basis}",
        f"  accuracy: {catalogue().sources[found.choice.source]}",
        f"  terms of its training images: {catalogue().terms(model)}",
    ]
    lines += [f"  next: {other.model.name}, {_figures(other)}" for other in found.others]
    return "\n".join([*lines, f"next step: reid-models --download {model.name}"])


def _figures(candidate: Candidate) -> str:
    time_ms = "" if candidate.frame_ms is None else f", {candidate.frame_ms:.1f} ms a frame"
    return f"mAP {candidate.mean_average_precision:.1f} on MSMT17, {candidate.gmacs:.2f} GMACs a crop{time_ms}"


def _recommendation_dict(found: Recommendation) -> dict[str, Any]:
    def entry(candidate: Candidate) -> dict[str, Any]:
        return {
            "name": candidate.model.name,
            "backbone": candidate.model.backbone,
            "mean_average_precision": candidate.mean_average_precision,
            "test_set": YARDSTICK,
            "gmacs": candidate.gmacs,
            "frame_ms": candidate.frame_ms,
            "source": catalogue().sources[candidate.source],
            "basis": candidate.basis,
        }

    others = [entry(other) for other in found.others]
    return {**entry(found.choice), "limit": found.limit, "judged_by": found.basis, "others": others}


def _download(
    names: Sequence[str], cache: WeightsCache, wishes: Wishes
) -> tuple[list[tuple[Model, Obtained]], list[DownloadFailure]]:
    """Fetch the models; with 'all', one that fails does not keep the others."""
    every = ALL in names
    if every:
        wanted = [model for model in catalogue().models.values() if model.addresses]
        for model in catalogue().models.values():
            if model.folder is not None and cache.status(model) is Status.BY_HAND:
                click.echo(f"left out: {model.name}, which has to be fetched by hand", err=True)
    else:
        wanted = [catalogue().find(name) for name in dict.fromkeys(names)]
    for model in wanted:
        cache.require_weights(model, mirror=wishes.mirror)
    obtained: list[tuple[Model, Obtained]] = []
    failures = []
    with ProgressLine() as line:
        for model in wanted:
            failure = _obtain(model, cache, wishes, line, obtained)
            if failure is not None and not every:
                raise failure
            if failure is not None:
                line.write("")
                click.echo(f"failed: {failure}", err=True)
                failures.append(failure)
    return obtained, failures


def _obtain(
    model: Model, cache: WeightsCache, wishes: Wishes, line: ProgressLine, obtained: list[tuple[Model, Obtained]]
) -> DownloadFailure | None:
    try:
        obtained.append((model, cache.obtain(model, wishes, progress=_progress(model, line))))
    except DownloadFailure as failure:
        return failure
    except KeyboardInterrupt:
        raise Interrupted("stopped; what has come is kept, the same command goes on with it") from None
    return None


def _progress(model: Model, line: ProgressLine) -> Progress:
    """Shows now and then how much has come."""
    next_s = 0.0

    def show(done: int, total: int | None) -> None:
        nonlocal next_s
        if line.shows and time.monotonic() >= next_s:
            next_s = time.monotonic() + _PROGRESS_S
            of = "" if total is None else f" of {total / 1e6:.1f} MB, {done / total:.0%}"
            line.write(f"{model.name}: {done / 1e6:.1f} MB{of}")

    return show


def _obtained_text(model: Model, files: Obtained) -> str:
    status = "comes with reidkit" if model.embedded else "downloaded and locked" if files.new else "already here"
    lines = [
        f"{model.name}: {status}, {files.bytes:,} bytes, SHA-256 {files.sha256}",
        f"  trained on images of these terms: {catalogue().terms(model)}",
        f"  {files.path}",
        _export_command(model, files.path),
    ]
    return "\n".join(lines)


def _export_command(model: Model, path: Path) -> str:
    meant = model == catalogue().named(model.name) and path == WeightsCache().path(model)
    what = model.name if meant else f"{model.backbone} --weights {path}"
    return f"next step: reid-export --model {what} --target onnxruntime --output artifacts"


def _obtained_dict(model: Model, files: Obtained) -> dict[str, Any]:
    return {
        "name": model.name,
        "backbone": model.backbone,
        "weights": str(files.path),
        "bytes": files.bytes,
        "sha256": files.sha256,
        "new": files.new,
        "terms": catalogue().terms(model),
    }


def _use_text(result: Use, config: Path) -> str:
    lines = [result.edit.diff.rstrip() or f"{config} says all this already"]
    lines += [f"note: {note}" for note in result.notes]
    if result.model is None:
        return "\n".join([*lines, f"next step: reid-track --tracker {config} …"])
    cache = WeightsCache()
    status = cache.status(result.model)
    step = f"next step: reid-models --download {result.model.name}"
    if status in (Status.EMBEDDED, Status.DOWNLOADED):
        step = _export_command(result.model, cache.path(result.model))
    elif status is Status.NONE:
        step = _export_command(result.model, Path("YOURS.pth"))
    return "\n".join([*lines, step])
