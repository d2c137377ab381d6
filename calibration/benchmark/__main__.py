"""``python -m reidkit.calibration.benchmark FD ARTIFACT THREADS DEVICE trusted|untrusted``: what `Contender` starts."""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection

from reidkit.calibration.benchmark.worker import serve

descriptor, artifact, threads, device, trust = sys.argv[1:]
serve(Connection(int(descriptor)), artifact, int(threads), device=device, trusted=trust == "trusted")
