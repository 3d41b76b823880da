"""Where Optuna keeps a study: the project's own file, or a database by URL, whose password is never shown."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from core.errors import SearchError

#: seconds in which a database has to answer
ANSWER = 10
#: a database by the name people know it by -> with the driver that the extra "postgresql" installs
_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
INSTALL = "pip install 'quantiscope[postgresql]', or the driver of your database"


def shown(url: str) -> str:
    """A URL as it may be told: without its password and what follows a question mark."""
    try:
        return parsed(url).set(query={}).render_as_string(hide_password=True)
    except SearchError:
        return "the storage"


def parsed(url: str) -> URL:
    """The parts of a URL; raises SearchError, which does not repeat it."""
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        raise SearchError("the storage of the study is not a URL",
                          remedy="Write sqlite:///FILE or postgresql://USER@HOST/DATABASE") from None
    return found.set(drivername=_DRIVERS.get(found.drivername, found.drivername))


def opened(url: str) -> RDBStorage:
    """The storage at a URL, its tables made where they are missing.

    Raises:
        SearchError: no URL, no driver, no answer, or tables of another version of Optuna.
    """
    where = parsed(url)
    sqlite = where.get_backend_name() == "sqlite"
    arguments: dict[str, Any] = {"timeout": 30} if sqlite else {}
    if where.get_backend_name() == "postgresql":
        arguments = {"connect_timeout": ANSWER}
    try:
        return RDBStorage(where.render_as_string(hide_password=False),
                          engine_kwargs={"connect_args": arguments, "pool_pre_ping": not sqlite})
    except (ImportError, NoSuchModuleError):
        raise SearchError(f"there is no driver for {shown(url)}", remedy=INSTALL) from None
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError, ValueError, OSError) as error:
        raise refused(url, error) from None


def refused(url: str, error: BaseException) -> SearchError:
    """What a storage that cannot be opened is told by."""
    where = parsed(url)
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if where.password:
        text = text.replace(str(where.password), "***")
    if where.get_backend_name() == "sqlite":
        return SearchError("the study cannot be opened", text,
                           "Move study.sqlite3 out of the project; candidates are kept")
    return SearchError(f"the study at {shown(url)} cannot be opened", text,
                       "See that the server runs and that you may make tables there; candidates are kept")
