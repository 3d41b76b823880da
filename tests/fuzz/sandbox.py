"""One process that gives hostile inputs to one reader and watches what the reader does.

Findings: an exception that is none of `core.errors`, a message of several lines, memory beyond the target's limit, a
file opened for writing outside the folder, a program started, code executed, a connection. The process that started
this one adds those that no process can see of itself: hangs and crashes.

    python -m tests.fuzz.sandbox TARGET ENGINE START COUNT SEED CHANNEL FOLDER
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import random
import resource
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: index of the input, 1 while HDF5 reads it, refused, accepted, its length
HEADER = struct.Struct("<qqqqq")
SIZE = 32 * 2**20
_WARM = 6
#: characters of a sentence
MOST_WORDS = 2000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty",
              "socket.connect", "socket.bind", "pickle.find_class", "ctypes.dlopen", "os.startfile", "urllib.Request")
_CHANGING = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod")


class Channel:
    """The present input and the counts, where the starting process sees them whatever becomes of this one."""

    def __init__(self, path: str) -> None:
        with Path(path).open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SIZE)
        self.index, self.walking, self.refused, self.accepted = -1, 0, 0, 0
        self._length = 0

    def begin(self, index: int, data: bytes) -> None:
        kept = data[: SIZE - HEADER.size]
        self._map[HEADER.size:HEADER.size + len(kept)] = kept
        self.index, self._length = index, len(kept)
        self.write()

    def write(self) -> None:
        HEADER.pack_into(self._map, 0, self.index, self.walking, self.refused, self.accepted, self._length)


def read_channel(path: Path) -> tuple[tuple[int, ...], bytes]:
    """(index, walking, refused, accepted, length) and the input."""
    with path.open("rb") as file:
        header = HEADER.unpack(file.read(HEADER.size))
        return header, file.read(header[4])


class Watch:
    """Gives inputs to a reader and says what it does that it must not."""

    def __init__(self, target: Any, channel: Channel, folder: Path) -> None:
        self.target, self.channel, self.folder = target, channel, folder
        self._inside = str(folder.resolve())
        self._said: set[str] = set()
        self._on = False

    def say(self, kind: str, what: str) -> None:
        """One line for each finding; the same one is said once."""
        key = f"{kind}: {what}"
        if key not in self._said:
            self._said.add(key)
            line = json.dumps({"index": self.channel.index, "kind": kind, "what": what}) + "\n"
            os.write(1, line.encode())

    def one(self, index: int, data: bytes) -> None:
        """Give one input to the reader."""
        from core.errors import QuantiscopeError

        self.channel.begin(index, data)
        self._on = True
        try:
            self.target.read(data, self.folder)
            self.channel.accepted += 1
        except QuantiscopeError as error:
            self.channel.refused += 1
            if "\n" in str(error) or len(str(error)) > MOST_WORDS:
                self.say("message", repr(str(error))[:300])
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            self.say("exception", f"{type(error).__name__} at {where}: {str(error)[:200]}")
        finally:
            self._on = False
            self.channel.write()

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Python tells of what it is about to do."""
        if not self._on:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING and not isinstance(path, int) and not self._is_inside(path):
                self.say("written outside", str(path)[:200])
        elif event in _CHANGING:
            if not self._is_inside(arguments[0]):
                self.say("changed outside", f"{event} {arguments[0]!s:.200}")
        elif event.startswith(_FORBIDDEN):
            self.say("started", f"{event} {arguments!r:.200}")
        elif event == "exec":
            name = getattr(arguments[0], "co_filename", "")
            if not name.endswith((".py", ".pyx")) and not name.startswith("<frozen") and not _importing():
                self.say("executed", name[:200])

    def _is_inside(self, path: Any) -> bool:
        text = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  what the audit hook is given may be bytes
        return text.startswith(self._inside) or text == os.devnull


def _importing() -> bool:
    frame: Any = sys._getframe()
    while frame is not None:
        if "importlib" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def guard_here(channel: Channel) -> None:
    """HDF5 files are read here in the place of a process of their own; the channel says so meanwhile."""
    from core import guard

    read = {""}

    def examine(path: Path, digest: str) -> str:
        if digest in read:
            return ""
        read.clear()
        read.add(digest)
        channel.walking = 1
        channel.write()
        try:
            guard.walk(Path(path))
        except MemoryError:
            return "it asks for too much memory"
        except Exception:
            return ""
        finally:
            channel.walking = 0
            channel.write()
        return ""

    guard.examine = examine


def limit_memory(mib: int) -> int:
    """Allow so much more memory than now; the size of the process now, in bytes."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (size + mib * 2**20 + 2**29,) * 2)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def mutation(target: Any, watch: Watch, start: int, count: int, seed: str) -> None:
    """Inputs made from seeds by random damage."""
    for index in range(start, start + count):
        watch.one(index, target.make(random.Random(f"{seed}:{target.name}:{index}")))


def with_hypothesis(target: Any, watch: Watch, start: int, count: int, seed: str) -> None:
    """Inputs that hypothesis makes of the target's grammar."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    from tests.fuzz.grammars import GRAMMARS

    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @seeded(f"{seed}:{start}")
    @given(GRAMMARS[target.name])
    def run(data: bytes) -> None:
        watch.one(watch.channel.index + 1, data)

    watch.channel.index = start - 1
    run()


def with_atheris(target: Any, watch: Watch, start: int, count: int, seed: str) -> None:
    """Inputs that reach new branches; ends the process."""
    import atheris

    corpus = watch.folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for number in range(20):
        (corpus / f"seed{number}").write_bytes(target.make(random.Random(f"{seed}:{number}"))[:4096])
    watch.channel.index = start - 1
    number = int.from_bytes(f"{seed}:{start}".encode()[-4:], "little") or 1
    atheris.Setup([sys.argv[0], f"-runs={count}", "-max_len=4096", f"-seed={number}", "-rss_limit_mb=0", "-timeout=0",
                   f"-artifact_prefix={watch.folder}/", str(corpus)],
                  lambda data: watch.one(watch.channel.index + 1, bytes(data)))
    atheris.Fuzz()


ENGINES: dict[str, Callable[..., None]] = {
    "mutation": mutation, "hypothesis": with_hypothesis, "atheris": with_atheris}


def main(name: str, engine: str, start: str, count: str, seed: str, channel_path: str, place: str) -> None:
    """See the module."""
    folder = Path(place)
    channel = Channel(channel_path)
    if engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["core.model_io", "core.model_safety", "core.model_shapes", "core.npz",
                                                 "core.model_sizes", "core.dataset_files", "core.dataset", "core.quant",
                                                 "core.hls.reports_amd", "core.hls.reports_intel", "core.hls.yosys",
                                                 "core.hls.reports_text", "core.hls.reports_other"]):
            from tests.fuzz import targets
    else:
        from tests.fuzz import targets
    target = targets.BY_NAME[name]
    guard_here(channel)
    watch = Watch(target, channel, folder)
    for number in range(_WARM):  # so that what is imported on first use is there
        with contextlib.suppress(Exception):
            target.read(target.make(random.Random(number)), folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if engine == "mutation" and target is not targets.BUILD:
        before = limit_memory(target.most_mib)
    sys.addaudithook(watch.audit)
    try:
        ENGINES[engine](target, watch, int(start), int(count), seed)
    finally:
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / 2**20
        if grown > target.most_mib:
            watch.say("memory", f"grew by {grown:.0f} MiB, {target.most_mib} are allowed")
        os.write(1, (json.dumps({"grown_mib": round(grown)}) + "\n").encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
