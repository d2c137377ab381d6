"""How much a proof tries: seconds' worth in the suite, all of it with REIDKIT_PROOF=long (make proof-tracker)."""

from __future__ import annotations

import os


def trials(few: int, many: int) -> int:
    """`few`, or `many` in the long form."""
    return many if os.environ.get("REIDKIT_PROOF") == "long" else few
