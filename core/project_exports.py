"""The folder of an export: what was finished there stands aside while it is made again, and is lost only to a finished
successor, however that ends.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from core.errors import Cancelled, QuantiscopeError
from core.files import aside, restore_folder

#: an export is finished when it has this
REPORT = "report.json"
#: ending of the name of the folder that keeps what a failed attempt left, its logs above all
FAILED = "-failed"


@contextlib.contextmanager
def replacing(directory: Path) -> Iterator[Path]:
    """A block that makes an export in `directory` (made by whoever writes first); gives the folder of the one before.

    Where the block leaves no report, the export before is put back. What an attempt left that failed beside a finished
    export is then in a folder of its own, which the error names.

    Raises:
        OSError: folders cannot be moved.
    """
    former = aside(directory)
    restore_folder(directory, REPORT)
    if (directory / REPORT).exists():
        directory.rename(former)
    try:
        yield former
    except QuantiscopeError as error:
        if former.exists() and not isinstance(error, Cancelled):
            failed = directory.with_name(directory.name + FAILED)
            shutil.rmtree(failed, ignore_errors=True)
            if directory.exists():
                directory.rename(failed)
            error.why, error.remedy = (text.replace(str(directory), str(failed)) for text in (error.why, error.remedy))
        raise
    finally:
        if former.exists():
            restore_folder(directory, REPORT)
            shutil.rmtree(former, ignore_errors=True)
