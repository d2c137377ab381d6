"""The page: figures of each gate, and a picture of whatever was measured."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reidkit.calibration.gates.judging import Verdict
from reidkit.calibration.gates.report import GateReport
from reidkit.calibration.gates.separation import EDGES, Separation
from reidkit.calibration.report.pareto import Point, front
from reidkit.calibration.report.svg import Axis, Plot, bars
from reidkit.runtime.artifact.manifest import Manifest
from reidkit.runtime.files import whole_file

_STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf7; --card: #fff; --ink: #23262b; --soft: #6b7078; --line: #e3e0d8;
        --a: #2a6f97; --b: #c8553d; --good: #3a7d44; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181c; --card: #1e2127; --ink: #e6e3dc; --soft: #9aa0a8;
        --line: #33373f; --a: #6cb4dd; --b: #f08a6e; --good: #7cc48a; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 2.5rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
       font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.7rem; font-weight: 600; } h2 { margin: 0 0 .6rem; font-size: 1rem; font-weight: 600; }
p { margin: .3rem 0; } .soft, figcaption { color: var(--soft); font-size: .87rem; }
.grid-of-cards { display: grid; gap: 1rem; margin-top: 1.5rem;
                 grid-template-columns: repeat(auto-fit, minmax(min(100%, 31rem), 1fr)); }
.gates { grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); }
.card, figure { margin: 0; padding: 1.1rem 1.25rem; background: var(--card); border: 1px solid var(--line);
                border-radius: .6rem; }
.figure { font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.status { float: right; font-size: .8rem; padding: .05rem .55rem; border: 1px solid; border-radius: 1rem; }
.passed { color: var(--good); } .failed { color: var(--bad); } .not_run { color: var(--soft); }
svg { display: block; width: 100%; height: auto; } .small { font-size: 11px; fill: var(--soft); }
.grid { stroke: var(--line); } .mark { stroke: var(--soft); stroke-dasharray: 4 3; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; } .area { opacity: .18; }
.line.a { stroke: var(--a); } .line.b { stroke: var(--b); stroke-dasharray: 6 4; } .line.c { stroke: var(--b); }
.area.a, .key.a, .dot.a, .bar { fill: var(--a); } .area.c, .key.b, .key.c, .dot.c { fill: var(--b); }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .87rem; }
td, th { padding: .25rem .4rem; overflow-wrap: anywhere; border-bottom: 1px solid var(--line); text-align: left; }
"""
_COARSE = 100
"""Bins of a drawn histogram."""


def write_report(
    path: Path,
    *,
    name: str,
    verdict: Verdict,
    manifest: Manifest | None = None,
    points: Sequence[Point] = (),
    missing: Sequence[str] = (),
) -> None:
    """Write the page to `path`, whole or not at all.

    Args:
        path: the file.
        name: of what was judged.
        verdict: what the gates decided.
        manifest: of the artifact; None for a bare model file.
        points: artifacts to place by time and mAP.
        missing: why others could not be placed.

    Raises:
        InvalidFile: the file cannot be written.
    """
    status = "passed" if verdict.passed else "failed"
    pictures = [
        *_embedding(verdict),
        *_people(verdict),
        *_retrieval(verdict),
        *_search(manifest),
        *_pareto(points, missing),
    ]
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(name)}: {status}</title><style>{_STYLE}</style></head><body>
<header><span class="status {status}">{status}</span><h1>{escape(name)}</h1>
{"".join(f'<p class="soft">{escape(fact)}</p>' for fact in _facts(manifest))}</header>
<section class="grid-of-cards gates">{"".join(map(_card, verdict.gates))}{_advice(verdict)}</section>
<section class="grid-of-cards">{"".join(pictures)}</section>
</body></html>
"""
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _facts(manifest: Manifest | None) -> list[str]:
    """Lines about an artifact."""
    if manifest is None:
        return ["a bare model file"]
    backbone, calibration = manifest.backbone, manifest.calibration
    weights = backbone.weights.file or f"{backbone.weights.source} weights"
    lines = [
        f"{backbone.name} from {weights}, {backbone.parameters / 1e6:.2f} M parameters, "
        f"embeddings {manifest.embedding.dim} wide",
        f"{manifest.target} in {manifest.precision.built}, up to {manifest.batch.max} crops at once, "
        f"{sum(file.bytes for file in manifest.files.values()) / 1e6:.1f} MB, made {manifest.created}",
        ", ".join(f"{library} {version}" for library, version in manifest.toolchain.items()),
    ]
    if calibration and "crops" in calibration:
        lines.append(f"calibrated with {calibration['crops']} crops of {calibration.get('source', 'a set')}")
    return lines


def _card(gate: GateReport) -> str:
    status = gate.status.replace("_", " ")
    figure = "not run" if gate.status == "not_run" else "not finite" if gate.value is None else f"{gate.value:.5g}"
    limit = "" if gate.limit is None else f", limit {gate.limit:g}"
    return (
        f'<div class="card"><span class="status {gate.status}">{status}</span><h2>{_words(gate.name)}</h2>'
        f'<div class="figure">{figure}</div><p class="soft">{_words(gate.measure)}{limit}</p>'
        f'<p class="soft">{escape(gate.note)}</p></div>'
    )


def _advice(verdict: Verdict) -> str:
    if not verdict.thresholds:
        return ""
    rows = "".join(f"<tr><td>{name}</td><td>{value:g}</td></tr>" for name, value in verdict.thresholds.items())
    return f'<div class="card"><h2>thresholds for the tracker</h2><table>{rows}</table></div>'


def _figure(plot: str, *, title: str, caption: str) -> str:
    return f"<figure><h2>{escape(title)}</h2>{plot}<figcaption>{escape(caption)}</figcaption></figure>"


def _embedding(verdict: Verdict) -> list[str]:
    if verdict.parity is None or verdict.parity.cosines is None:
        return []
    cosines = np.sort(verdict.parity.cosines)
    shares = 100 * np.arange(1, len(cosines) + 1) / len(cosines)
    plot = Plot("share of crops by cosine", Axis.around("cosine to the reference", cosines), _percent("crops up to it"))
    plot.line(list(zip(cosines.tolist(), shares.tolist(), strict=True)), style="a", name="crops")
    caption = f"{verdict.parity.crops} crops: worst {cosines[0]:.6f}, median {np.median(cosines):.6f}."
    return [_figure(plot.svg(), title="Embeddings beside the reference's", caption=caption)]


def _people(verdict: Verdict) -> list[str]:
    if verdict.separation is None:
        return []
    pairs = verdict.separation.telling
    same, different = (_density(counts) for counts in (pairs.same, pairs.different))
    centres = (EDGES[:-1].reshape(_COARSE, -1).mean(axis=1)).tolist()
    seen = np.flatnonzero(same + different)
    low, high = centres[max(seen[0] - 1, 0)], centres[min(seen[-1] + 1, _COARSE - 1)]
    top = float(max(same.max(), different.max())) * 1.1
    plot = Plot(
        "cosines of pairs of crops",
        Axis(label="cosine of two crops", low=low, high=high),
        Axis(label="% of pairs", low=0, high=top),
    )
    rows = slice(max(seen[0] - 1, 0), min(seen[-1] + 2, _COARSE))
    for style, name, shares in (("a", "one person", same), ("c", "two people", different)):
        plot.area(list(zip(centres[rows], shares[rows].tolist(), strict=True)), style=style, name=name)
    for name, value in (verdict.thresholds or {}).items():
        plot.mark(value, f"{name.replace('_', ' ')} {value:g}")
    where = "one camera" if pairs is verdict.separation.one_camera else "two cameras"
    caption = f"{pairs.same.sum():,} pairs of one person, {pairs.different.sum():,} of two, seen by {where}."
    return [_figure(plot.svg(), title="People apart", caption=caption)]


def _retrieval(verdict: Verdict) -> list[str]:
    own, theirs = verdict.retrieval, verdict.reference
    if own is None or verdict.separation is None:
        return []
    ranks = range(1, len(own.cmc) + 1)
    lowest = min(own.cmc[0], theirs.cmc[0] if theirs else 100.0)
    plot = Plot(
        "cumulative match curve",
        Axis(label="rank", low=1, high=len(own.cmc)),
        Axis(label="% of queries answered", low=max(0.0, float(lowest) - 5), high=100),
    )
    plot.line(list(zip(ranks, own.cmc.tolist(), strict=True)), style="a", name="this")
    if theirs is not None:
        plot.line(list(zip(ranks, theirs.cmc.tolist(), strict=True)), style="b", name="reference")
    caption = f"mAP {own.mean_average_precision:.1f}, rank-1 {own.cmc[0]:.1f}, {own.queries} queries."
    return [
        _figure(plot.svg(), title="Found again in other cameras", caption=caption),
        *_precision_recall(verdict.separation),
    ]


def _precision_recall(separation: Separation) -> list[str]:
    """Of all pairs of crops of two cameras that reach a cosine: how many are one person, and of all how many."""
    same, different = (
        np.cumsum(counts[::-1]) for counts in (separation.two_cameras.same, separation.two_cameras.different)
    )
    if not same[-1]:
        return []
    asked = np.flatnonzero(np.diff(same, prepend=0))
    recall, precision = 100 * same[asked] / same[-1], 100 * same[asked] / (same[asked] + different[asked])
    plot = Plot("precision by recall", _percent("recall"), _percent("precision"))
    plot.line(list(zip(recall.tolist(), precision.tolist(), strict=True)), style="a", name="pairs of two cameras")
    caption = f"{same[-1]:,} pairs are one person, {different[-1]:,} are not: each point is a least cosine."
    return [_figure(plot.svg(), title="Precision and recall of pairs", caption=caption)]


def _search(manifest: Manifest | None) -> list[str]:
    """How a mixture of int8 and float was found, as `SearchTrace.to_dict` tells it in the manifest."""
    search = ((manifest.calibration if manifest else None) or {}).get("search")
    if not search:
        return []
    figures = []
    if search["damage"]:
        worst = sorted(search["damage"].items(), key=lambda each: -each[1])
        rows = [
            (name, damage, f"{damage:.2g}, {100 * search['work'][name]:.1f} % of the work") for name, damage in worst
        ]
        caption = "One minus the median cosine with this group alone in int8."
        figures.append(_figure(bars("damage by group", rows), title="Sensitivity of the layers", caption=caption))
    rows_html = "".join(
        f"<tr><td>{trial['seconds']:.0f} s</td><td>{escape(', '.join(trial['in_float']) or 'nothing')}</td>"
        f"<td>{_cosine(trial['cosine_p01'])}</td><td>{_cosine(trial['cosine_median'])}</td>"
        f'<td class="{"passed" if trial["passed"] else "failed"}">{"passed" if trial["passed"] else "failed"}</td></tr>'
        for trial in search["trials"]
    )
    table = (
        "<table><tr><th>after</th><th>in float</th><th>1 % quantile</th><th>median</th><th></th></tr>"
        f"{rows_html}</table>"
    )
    kept = ", ".join(search["in_float"]) or "nothing"
    caption = f"{search['outcome']} after {search['seconds']:.0f} s; in float: {kept}."
    return [*figures, _figure(table, title="The search for a mixture", caption=caption)]


def _pareto(points: Sequence[Point], missing: Sequence[str]) -> list[str]:
    reasons = " ".join(f"{why}." for why in missing)
    if not points:
        return [_figure("", title="Time against mAP", caption=reasons)] if missing else []
    plot = Plot(
        "time against mAP",
        Axis.around("ms for a frame of eight people, on this box", [point.frame_ms for point in points], margin=0.15),
        Axis.around("mAP, %", [point.mean_average_precision for point in points], margin=0.15),
    )
    best = front(points)
    if len(best) > 1:
        plot.line([(each.frame_ms, each.mean_average_precision) for each in best], style="b", name="not beaten in both")
    for point in points:
        style = "a" if point in best else "c"
        plot.dot(point.frame_ms, point.mean_average_precision, style=style, text=point.name)
    caption = f"Up and to the left is better. {reasons}".strip()
    return [_figure(plot.svg(), title="Time against mAP", caption=caption)]


def _density(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(_COARSE,) percent of all pairs."""
    coarse = counts.reshape(_COARSE, -1).sum(axis=1)
    shares: NDArray[np.float64] = 100 * coarse / max(int(coarse.sum()), 1)
    return shares


def _percent(label: str) -> Axis:
    return Axis(label=f"{label}, %", low=0, high=100)


def _cosine(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.5f}"


def _words(name: str) -> str:
    return escape(name.replace("_", " "))
