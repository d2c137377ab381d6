"""The control groups that bound this process, of either version: a container's, or a service's of systemd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reidkit.runtime.box.texts import text_of


def control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders in which the system at `root` keeps a limit, such as of ``"cpu"``: the process's own and all above it.

    Some may not be there: a container sees its own group as the topmost one, and may be told where the machine has it.
    """
    own = {"": Path("/"), controller: Path("/")}  # version 2 has one tree for all, version 1 one for each controller
    for line in text_of(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for tree in own.keys() & set(controllers.split(",")):
            own[tree] = Path(path)
    for tree, group in own.items():
        for each in (group, *group.parents):
            yield root / "sys/fs/cgroup" / tree / each.relative_to("/")
