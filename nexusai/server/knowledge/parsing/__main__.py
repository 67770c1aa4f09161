"""The child's side: limits first, then one document, then its blocks as JSON lines, or why there are none."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

from nexusai.server.knowledge.parsing.models import DocumentError, Limits

_FORBIDDEN = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system")


def confine(limits: Limits) -> None:
    """Bound what the system can: memory, processor and wall time, no core file. Others go first."""
    if sys.platform == "win32":
        return
    import resource

    os.nice(5)
    signal.setitimer(signal.ITIMER_REAL, limits.seconds + 5)  # its default action ends us, whatever we do
    cpu = limits.cpu_seconds
    _limit(resource.RLIMIT_AS, limits.memory_bytes, limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, cpu, cpu + 1)
    _limit(resource.RLIMIT_CORE, 0, 0)


def _limit(what: int, soft: int, hard: int) -> None:
    import resource

    with suppress(ValueError, OSError):  # above what we were given ourselves, or unknown to this system
        resource.setrlimit(what, (soft, hard))


def end_with_parent() -> None:
    """Nothing is ever written to our standard input: its end is the parent's end."""

    def watch() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def refuse(event: str, arguments: object) -> None:
    """An audit hook: a document is given neither a network nor processes."""
    if event.startswith(_FORBIDDEN):
        raise PermissionError(f"{event} is not for documents")


def main(job: str) -> None:
    asked = json.loads(job)
    limits = Limits(**asked["limits"])
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)  # what a parser prints is no answer
    end_with_parent()
    sys.addaudithook(refuse)
    confine(limits)
    try:
        from nexusai.server.knowledge.parsing.reading import read

        parsed = read(Path(asked["path"]), asked["hint"], limits)
        out.writelines(f"{line}\n" for line in parsed.lines())
    except DocumentError as error:
        out.write(json.dumps({"code": error.code, "message": error.message}, separators=(",", ":")))
    out.flush()


if __name__ == "__main__":
    main(sys.argv[1])
