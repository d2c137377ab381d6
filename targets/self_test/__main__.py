"""``python -m reidkit.targets.self_test TARGET``: the outcome as the last line, in JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from reidkit.runtime.errors import ReidkitError
from reidkit.targets import find_target
from reidkit.targets.self_test import Outcome, prove

try:
    outcome = prove(find_target(sys.argv[1]))
except ReidkitError as error:
    outcome = Outcome(status="failed", detail=str(error))
print(json.dumps(asdict(outcome)))
