"""Studies in a real PostgreSQL, started here: the same proposals as in SQLite, no password left anywhere."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import create_engine

import resources
from core import storage_errors
from core.errors import ProjectError, SearchError
from core.events import CandidateDone, Monitor
from core.project import Project
from core.requests import Search
from core.search.engine import run_search
from core.search.storage import opened, parsed, shown
from core.search.study import Study
from tests.core.search.test_plans import StandIn
from tests.core.search.test_study import SPACE, START, advance, url

PASSWORD = "p4ss/w:rd"
ESCAPED = "p4ss%2Fw%3Ard"


class Server:
    """PostgreSQL by initdb and pg_ctl, in a folder of its own, by a user that is not root."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._user = "postgres" if os.getuid() == 0 else None  # it refuses to be run by root
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))
        if self._user:
            os.chown(self.folder, pwd.getpwnam(self._user).pw_uid, -1)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        secret = self.folder / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run("initdb", "--username=alice", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync", "-N")
        self.start()

    def _run(self, program: str, *options: str) -> None:
        done = subprocess.run([self._programs / program, "-D", self.folder / "data", *options], cwd=self.folder,
                              user=self._user, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              timeout=60)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        self._run("pg_ctl", "start", "-w", "-l", str(self.folder / "log"), "-o",
                  f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off")

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-w", "-m", "immediate")

    def url(self, password: str = ESCAPED) -> str:
        return f"postgresql://alice:{password}@127.0.0.1:{self.port}/postgres"

    def query(self, statement: str) -> list[str]:
        engine = create_engine(parsed(self.url()))
        with contextlib.closing(engine.raw_connection()) as connection, connection.cursor() as cursor:
            return [row[0] for row in cursor.execute(statement).fetchall()]


def programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


@pytest.fixture(scope="module")
def server():
    where = programs()
    if where is None:
        pytest.skip("PostgreSQL is not installed; `scripts/bootstrap.sh tests` installs it where it may")
    made = Server(where)
    yield made
    with contextlib.suppress(AssertionError):  # a test may have stopped it
        made.stop()
    shutil.rmtree(made.folder)


@pytest.fixture
def make(tmp_path):
    made = []

    def new(name):
        made.append(Project.create(tmp_path / name, resources.path("models/jet_tagger.keras"), "jets"))
        return made[-1]

    yield new
    for project in made:
        project.close()


def request(project, trials, **changes):
    return Search(project=str(project.folder), method="nsga2", trials=trials, epochs=1,
                  options={"kernel": [f"quantized_bits({bits},0,alpha=1)" for bits in range(2, 9)]}, **changes)


def holds(folder, *needles):
    return [path for path in folder.rglob("*") if path.is_file()
            for needle in needles if needle.encode() in path.read_bytes()]


def test_the_same_proposals_as_in_sqlite_killed_or_not(server, tmp_path):
    whole = Study(url(tmp_path), SPACE, "nsga2", seed=3, project="p")
    whole.enqueue(START)
    expected = advance(whole, 14)
    first = Study(server.url(), SPACE, "nsga2", seed=3, project="p")
    first.enqueue(START)
    found = advance(first, 5)
    first.ask()  # dies while it tries this one
    second = Study(server.url(), SPACE, "nsga2", seed=3, project="p")
    second.enqueue(START)
    assert found + advance(second, 9) == expected
    assert Study(server.url(), SPACE, "nsga2", seed=3, project="another").settled == 0


def test_two_projects_search_in_one_database_and_keep_no_password(server, make, caplog):
    first, second = make("first"), make("second")
    events = []
    for project in (first, second):
        added = run_search(project, request(project, 4, storage=server.url()), StandIn(), Monitor(events.append))
        assert added == ["c0001", "c0002", "c0003", "c0004"]
        assert not (project.folder / "study.sqlite3").exists()
        assert holds(project.folder, PASSWORD, ESCAPED) == []
    names = server.query("select study_name from studies where study_name not like 'search-p%%'"
                         " and study_name not like 'search-another%%'")
    assert len(names) == 2
    assert all(any(name.startswith(f"search-{project.identity}-") for name in names) for project in (first, second))
    assert len(run_search(first, request(first, 2, storage=server.url()), StandIn(), Monitor())) == 2
    assert PASSWORD not in f"{events}{caplog.text}" and ESCAPED not in f"{events}{caplog.text}"


def test_a_server_that_goes_away_and_comes_back(server, make):
    project = make("lost")

    def emit(event):
        if isinstance(event, CandidateDone) and event.candidate.id == "c0003":
            server.stop()

    with pytest.raises(Exception) as caught:
        run_search(project, request(project, 20, storage=server.url()), StandIn(), Monitor(emit))
    told = storage_errors.told(caught.value)
    assert isinstance(told, ProjectError) and "database of the study does not answer" in str(told)
    assert PASSWORD not in str(told)
    before = project.candidates()
    assert len(before) >= 3
    server.start()
    run_search(project, request(project, 3, storage=server.url()), StandIn(), Monitor())
    assert project.candidates()[:len(before)] == before
    assert len(project.candidates()) == len(before) + 3


def test_what_cannot_be_opened_is_one_sentence_without_the_password(server):
    for wrong, said in [
        (server.url("wr0ng"), "password authentication failed"),
        (f"postgresql://alice:wr0ng@127.0.0.1:{server.port}/nowhere", ""),
        ("postgresql://alice:wr0ng@127.0.0.1:9/x", "refused"),
    ]:
        with pytest.raises(SearchError, match=r"the study at postgresql\+psycopg://alice:\*\*\*@") as caught:
            opened(wrong)
        assert said in str(caught.value) and "wr0ng" not in str(caught.value) and "\n" not in str(caught.value)


def test_urls():
    for broken in ("nonsense wr0ng", "", "postgresql://a:wr0ng@h:port/x"):
        with pytest.raises(SearchError, match="not a URL") as caught:
            parsed(broken)
        assert "wr0ng" not in str(caught.value)
        assert shown(broken) == "the storage"
    with pytest.raises(SearchError, match="no driver for dbase://"):
        opened("dbase://host/x")
    assert shown("postgresql://a:b@h/x?password=c") == "postgresql+psycopg://a:***@h/x"
    assert parsed("mysql://a@h/x").drivername == "mysql"
