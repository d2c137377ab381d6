"""`reidkit explain`: what a settings file really does."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
import yaml

from reidkit.runtime.artifact import read_artifact
from reidkit.runtime.commands.shell import FiniteRange, ReidkitCommand, json_option, print_json
from reidkit.runtime.tracking.config import BotSortConfig
from reidkit.runtime.tracking.explanation import Explanation, explain
from reidkit.runtime.tracking.schemas import schema_of
from reidkit.runtime.tracking.translation import SCHEMAS, Translation, translate


@click.command("explain", cls=ReidkitCommand)
@click.argument("tracker", default="botsort.yaml")
@click.option("--artifact", type=click.Path(path_type=Path), help="Hold the settings against this artifact, too.")
@click.option("--schema", type=click.Choice(SCHEMAS), help="Whose words the file speaks, if it does not say.")
@click.option("--fps", type=FiniteRange(min=0.01, max=10_000), help="Frames per second of the video. [default: 30]")
@json_option
def explain_settings(tracker: str, artifact: Path | None, schema: str | None, fps: float | None, as_json: bool) -> None:
    """Say what TRACKER does, a settings file or a packaged preset (botsort.yaml, tuned.yaml, long_term.yaml).

    Prints every gate in plain words and units, warns where ReID is in effect off or its gate in effect open, and shows
    the same settings in the other tools' words.
    """
    config = BotSortConfig.load(tracker, schema=schema, frame_rate=fps)
    spoken = schema or schema_of(tracker)
    manifest = None if artifact is None else read_artifact(artifact)[0]
    if manifest is not None:
        config = config.resolved(manifest)
    explanation = explain(config, manifest)
    others = {name: translate(config, name) for name in SCHEMAS if name != spoken}
    if as_json:
        print_json(
            {
                "tracker": tracker,
                "schema": spoken,
                "artifact": None if manifest is None else manifest.name,
                "config": dataclasses.asdict(config),
                **dataclasses.asdict(explanation),
                "schemas": {name: dataclasses.asdict(other) for name, other in others.items()},
            }
        )
    else:
        click.echo(_text(tracker, spoken, explanation, others))


def _text(tracker: str, schema: str, explanation: Explanation, others: dict[str, Translation]) -> str:
    """The explanation for people."""
    lines = [f"{tracker}, in the words of {schema}"]
    widths = [max(len(getattr(gate, name)) for gate in explanation.gates) for name in ("stage", "decides")]
    lines += [f"  {gate.stage:{widths[0]}}  {gate.decides:{widths[1]}}  {gate.condition}" for gate in explanation.gates]
    lines += [f"warning: {warning}" for warning in explanation.warnings]
    lines += [f"note: {note}" for note in explanation.notes]
    for name, other in others.items():
        lines += ["", *_yaml({"schema": name, **other.settings})]
        lines += [f"# cannot say: {field} {meant}; it is {found} there" for field, (meant, found) in other.lost.items()]
    return "\n".join(lines)


def _yaml(settings: dict[str, Any]) -> list[str]:
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).splitlines()
