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
    recommend_for,
    recommend_within,
)
from reidkit.export.catalogue.using import use
from reidkit.export.catalogue.weights_cache import Obtained, Wishes
from reidkit.runtime.commands.shell import (
    FiniteRange,
    ProgressLine,
    ReidkitCommand,
    json_option,
    print_json,
    refuse_idle,
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
    if not names:
        refuse_idle(["force", "sha256", "mirror", "offline"], "without --download")
    if sha256 is not None and (len(names) != 1 or ALL in names):
        raise click.UsageError("--sha256 goes with --download and one NAME")
    if used is None:
        refuse_idle(["config"], "without --use")
    if ALL in names and len(names) > 1:
        raise click.UsageError("--download all stands for every NAME: leave the others out")
    budget = (budget_ms, people, target)
    if any(each is not None for each in budget) and (recommend is None or None in budget):
        raise click.UsageError("--budget-ms, --people and --target go together, with --recommend")
    cache = WeightsCache()
    told: list[_Told] = []
    if lists or not (recommend or names or used):
        told.append(_listed(cache))
    if recommend is not None:
        told.append(_recommended(recommend, budget_ms, people, target))
    if names:
        told.append(_downloaded(names, cache, Wishes(force=force, mirror=mirror, offline=offline, sha256=sha256)))
    error = told[-1][0].get("error") if told else None
    if used is not None and error is None:
        told.append(_used(used, config, cache))
    if as_json:
        print_json({key: fact for facts, _ in told for key, fact in facts.items()})
        raise SystemExit(0 if error is None else DownloadFailure.exit_code)
    if said := [text for _, text in told if text]:
        click.echo("\n\n".join(said))
    if error is not None:
        raise DownloadFailure(error["message"])


_Told = tuple[dict[str, Any], str]
"""What was done: facts for programs, and a text for people."""


def _listed(cache: WeightsCache) -> _Told:
    """Every model."""
    listing = Listing(catalogue(), measurements(), cache, read_latencies())
    return listing.to_dict(), listing.text()


def _recommended(use_name: str, budget_ms: float | None, people: int | None, target: str | None) -> _Told:
    """The model to take for a use, or within a budget."""
    if budget_ms is None or people is None or target is None:
        found = recommend_for(use_name, catalogue(), measurements())
    else:
        find_target(target)  # a misspelt one was not "measured" anywhere either
        found = recommend_within(
            budget_ms, people, target, catalogue=catalogue(), measured=measurements(), latencies=read_latencies()
        )
    model, others = found.choice.model, [_facts_of(other) for other in found.others]
    facts = {**_facts_of(found.choice), "limit": found.limit, "judged_by": found.basis, "others": others}
    lines = [
        f"{model.name}: {_figures(found.choice)}",
        f"  the most accurate for {found.limit}",
        f"  judged by {found.basis}",
        f"  accuracy: {catalogue().sources[found.choice.source]}",
        f"  terms of its training images: {catalogue().terms(model)}",
        *(f"  next: {other.model.name}, {_figures(other)}" for other in found.others),
        f"next step: reid-models --download {model.name}",
    ]
    return {"recommended": facts}, "\n".join(lines)


def _facts_of(candidate: Candidate) -> dict[str, Any]:
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


def _figures(candidate: Candidate) -> str:
    time_ms = "" if candidate.frame_ms is None else f", {candidate.frame_ms:.1f} ms a frame"
    return f"mAP {candidate.mean_average_precision:.1f} on MSMT17, {candidate.gmacs:.2f} GMACs a crop{time_ms}"


def _downloaded(names: Sequence[str], cache: WeightsCache, wishes: Wishes) -> _Told:
    """The models fetched; with 'all', one that fails does not keep the others, and is told as an error in the facts."""
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
    failures: list[DownloadFailure] = []
    with ProgressLine() as line:
        for model in wanted:
            come = _fetched(model, cache, wishes, line)
            if isinstance(come, Obtained):
                obtained.append((model, come))
            elif every:
                line.write("")
                click.echo(f"failed: {come}", err=True)
                failures.append(come)
            else:
                raise come
    facts: dict[str, Any] = {"downloaded": [_obtained_facts(model, files) for model, files in obtained]}
    if failures:
        message = f"{len(failures)} of {len(wanted)} downloads failed"
        facts["failed"] = [str(each) for each in failures]
        facts["error"] = {"type": DownloadFailure.__name__, "message": message, "remedy": ""}
    return facts, "\n\n".join(_obtained_text(model, files) for model, files in obtained)


def _fetched(model: Model, cache: WeightsCache, wishes: Wishes, line: ProgressLine) -> Obtained | DownloadFailure:
    try:
        return cache.obtain(model, wishes, progress=_progress(model, line))
    except DownloadFailure as failure:
        return failure
    except KeyboardInterrupt:
        raise Interrupted("stopped; what has come is kept, the same command goes on with it") from None


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


def _obtained_facts(model: Model, files: Obtained) -> dict[str, Any]:
    return {
        "name": model.name,
        "backbone": model.backbone,
        "weights": str(files.path),
        "bytes": files.bytes,
        "sha256": files.sha256,
        "new": files.new,
        "terms": catalogue().terms(model),
    }


def _obtained_text(model: Model, files: Obtained) -> str:
    status = "comes with reidkit" if model.embedded else "downloaded and locked" if files.new else "already here"
    lines = [
        f"{model.name}: {status}, {files.bytes:,} bytes, SHA-256 {files.sha256}",
        f"  trained on images of these terms: {catalogue().terms(model)}",
        f"  {files.path}",
        _export_command(model, files.path),
    ]
    return "\n".join(lines)


def _used(name: str, config: Path, cache: WeightsCache) -> _Told:
    """A model or artifact named in a settings file."""
    result = use(name, config)
    if result.model is None:
        step = f"next step: reid-track --tracker {config} …"
    elif (status := cache.status(result.model)) in (Status.EMBEDDED, Status.DOWNLOADED):
        step = _export_command(result.model, cache.path(result.model))
    elif status is Status.NONE:
        step = _export_command(result.model, Path("YOURS.pth"))
    else:
        step = f"next step: reid-models --download {result.model.name}"
    diff = result.edit.diff.rstrip() or f"{config} says all this already"
    return {"used": result.to_dict()}, "\n".join([diff, *(f"note: {note}" for note in result.notes), step])


def _export_command(model: Model, path: Path) -> str:
    meant = model == catalogue().named(model.name) and path == WeightsCache().path(model)
    what = model.name if meant else f"{model.backbone} --weights {path}"
    return f"next step: reid-export --model {what} --target onnxruntime --output artifacts"
