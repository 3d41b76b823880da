"""What the system says of a disk, a database or the memory, as one sentence a user can act on."""

from __future__ import annotations

import errno
import sqlite3

from core.errors import ProjectError, QuantiscopeError

_KEPT = "What was stored before is untouched"
_REMEDIES = {
    errno.ENOSPC: "Free some space", errno.EDQUOT: "Free some of your quota", errno.EFBIG: "Raise the limit of the file"
    " size", errno.EROFS: "Work on a copy in a folder that can be written", errno.EACCES: "Change the permissions",
    errno.EPERM: "Change the permissions", errno.EIO: "See whether the disk is sound",
    errno.ESTALE: "See whether the network disk is there", errno.EMFILE: "Allow more open files (ulimit -n)",
}

#: packages that speak to databases by URL; none is imported for this
_DRIVERS = frozenset({"psycopg", "psycopg2", "asyncpg", "pymysql", "MySQLdb", "mysql", "oracledb"})


def told(error: BaseException) -> QuantiscopeError | None:
    """The failure of a disk, a database or the memory at the root of an exception; None where it was something else."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _REMEDIES:
            where = f" ({seen.filename})" if seen.filename else ""
            return ProjectError("the job could not go on", f"{seen.strerror}{where}",
                                f"{_REMEDIES[seen.errno]} and try again. {_KEPT}")
        if isinstance(seen, sqlite3.Error):
            return ProjectError("the study could not be stored or read", str(seen).splitlines()[0],
                                f"See that its disk has space and can be written, and try again. {_KEPT}")
        if type(seen).__module__.partition(".")[0] in _DRIVERS:
            return ProjectError("the database of the study does not answer as it should",
                                (str(seen).strip() or type(seen).__name__).splitlines()[0],
                                f"See that its server runs, and search again to go on. {_KEPT}")
        if isinstance(seen, MemoryError):
            return ProjectError("there is not enough memory for the job", remedy=f"Close other programs. {_KEPT}")
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return None
