"""What the application remembers between runs: recent projects, theme, the window's place and size.

Stored as one JSON file in the user's configuration folder (platformdirs), or below the folder that the
environment variable QUANTISCOPE_HOME names; a damaged file is set aside and replaced by defaults.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec
import platformdirs

from core.cluster_options import ClusterOptions
from core.files import write_atomically

SCHEMA_VERSION = 1
MAX_RECENT = 10
#: sizes of everything on the screen, in percent
SCALES = (100, 125, 150, 175, 200)
HOME = "QUANTISCOPE_HOME"
_NAME = "quantiscope"


class SettingsFile(msgspec.Struct, kw_only=True):
    """Every option with its default. `theme` is "system", "light" or "dark"; `window` holds Qt's state in hex.

    `scale` is in percent; `workers` is the number of processes of a search (0: one a core).
    """

    schema_version: int = SCHEMA_VERSION
    theme: str = "system"
    recent: list[str] = []
    window: dict[str, str] = {}
    scale: int = 100
    workers: int = 0
    toured: bool = False
    cluster: ClusterOptions = ClusterOptions()


def _folder(kind: str) -> Path:
    home = os.environ.get(HOME)
    if home:
        return Path(home) / kind
    folders = {"config": platformdirs.user_config_dir, "data": platformdirs.user_data_dir,
               "log": platformdirs.user_log_dir}
    return Path(folders[kind](_NAME, appauthor=False))


def data_folder() -> Path:
    """Where the demo project lies; made when missing."""
    return _made(_folder("data"))


def log_folder() -> Path:
    """Where crash and worker logs lie; made when missing."""
    return _made(_folder("log"))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Settings:
    """The settings in force; every change is written at once (failure to write is not fatal)."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or _folder("config") / "settings.json"
        self._values = self._read()

    @property
    def theme(self) -> str:
        """ "system", "light" or "dark"."""
        return self._values.theme

    @theme.setter
    def theme(self, mode: str) -> None:
        self._values.theme = mode
        self._write()

    @property
    def scale(self) -> int:
        """Size of everything on the screen, one of SCALES, in percent."""
        return self._values.scale if self._values.scale in SCALES else SCALES[0]

    @scale.setter
    def scale(self, percent: int) -> None:
        self._values.scale = percent
        self._write()

    @property
    def workers(self) -> int:
        """Processes of a search; 0 for one a core."""
        return max(self._values.workers, 0)

    @workers.setter
    def workers(self, count: int) -> None:
        self._values.workers = count
        self._write()

    @property
    def cluster(self) -> ClusterOptions:
        """The cluster that searches run on; one that is not `asked` for is none."""
        return self._values.cluster

    @cluster.setter
    def cluster(self, options: ClusterOptions) -> None:
        self._values.cluster = options
        self._write()

    @property
    def toured(self) -> bool:
        """True once the tour was shown or declined."""
        return self._values.toured

    @toured.setter
    def toured(self, done: bool) -> None:
        self._values.toured = done
        self._write()

    @property
    def recent(self) -> list[Path]:
        """Project folders, newest first, those that still exist."""
        return [Path(text) for text in self._values.recent if Path(text).is_dir()]

    def add_recent(self, folder: Path) -> None:
        """Put a project at the head of the recent ones."""
        text = str(folder)
        self._values.recent = [text, *(old for old in self._values.recent if old != text)][:MAX_RECENT]
        self._write()

    def window_state(self, key: str) -> bytes:
        """What `set_window_state` stored under that key; empty when nothing was."""
        try:
            return bytes.fromhex(self._values.window.get(key, ""))
        except ValueError:
            return b""

    def set_window_state(self, key: str, state: bytes) -> None:
        """Keep a window's geometry or dock layout as Qt wrote it."""
        self._values.window[key] = state.hex()
        self._write()

    def _read(self) -> SettingsFile:
        try:
            values = msgspec.json.decode(self.path.read_bytes(), type=SettingsFile)
        except OSError:
            return SettingsFile()
        except (msgspec.MsgspecError, UnicodeDecodeError):
            with contextlib.suppress(OSError):
                self.path.replace(self.path.with_suffix(".damaged.json"))
            return SettingsFile()
        return values

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, msgspec.json.encode(self._values))
