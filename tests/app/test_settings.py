"""What is remembered between runs, and what happens when it cannot be read."""

from __future__ import annotations

import sys

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app import application, settings
from app.models.search_form import KEPT
from app.settings import MAX_RECENT, Settings
from app.views.search_panel import SearchPanel
from app.views.settings_dialog import SettingsDialog
from core.cluster_options import ClusterOptions
from core.errors import ProjectError
from core.requests import Search


def test_that_settings_are_found_again(tmp_path):
    first = Settings()
    first.theme = "dark"
    first.set_window_state("geometry", b"\x00\x01")
    first.add_recent(tmp_path)
    second = Settings()
    assert (second.theme, second.window_state("geometry"), second.recent) == ("dark", b"\x00\x01", [tmp_path])


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"theme": 3}', b"\xff\xfe"])
def test_that_a_damaged_file_is_set_aside_and_defaults_hold(content):
    path = Settings().path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    assert Settings().theme == "system"
    assert path.with_suffix(".damaged.json").read_bytes() == content


def test_that_recent_projects_are_newest_first_without_doubles_or_gone_ones(tmp_path):
    known = Settings()
    folders = [tmp_path / str(number) for number in range(MAX_RECENT + 2)]
    for folder in folders:
        folder.mkdir()
        known.add_recent(folder)
    known.add_recent(folders[5])
    folders[-1].rmdir()
    assert known.recent[0] == folders[5]
    assert known.recent.count(folders[5]) == 1
    assert folders[-1] not in known.recent
    assert len(known.recent) <= MAX_RECENT


def test_that_settings_that_cannot_be_written_stop_no_one(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    known = Settings(blocked / "settings.json")
    known.theme = "dark"
    assert known.theme == "dark"


def test_that_the_home_of_the_tests_is_not_the_users(fresh_home):
    assert settings.data_folder().is_relative_to(fresh_home)
    assert settings.log_folder().is_relative_to(fresh_home)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays are named so on Linux only")
def test_that_a_missing_display_is_a_sentence(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ProjectError, match="no display"):
        application.run_gui()


def test_that_the_scheduler_typed_into_the_settings_is_where_the_next_search_goes(qtbot, played):
    stored = Settings()
    dialog = SettingsDialog(stored)
    qtbot.addWidget(dialog)
    dialog.show()
    form = dialog.cluster
    assert not form.fields["scheduler"].isVisible() and not form.fields["jobs"].isVisible()
    QTest.keyClick(form.where, Qt.Key.Key_Down)
    scheduler = form.fields["scheduler"]
    QTest.keyClicks(scheduler, "head 8786")
    QTest.keyClick(scheduler, Qt.Key.Key_Return)
    assert dialog.isVisible() and "is not the address of a scheduler" in dialog.message.text()
    scheduler.clear()
    QTest.keyClicks(scheduler, "tls://head:8786")
    QTest.keyClicks(form.fields["tls_ca"], "/etc/ca.pem")
    QTest.keyClick(scheduler, Qt.Key.Key_Return)
    assert not dialog.isVisible()
    assert Settings().cluster == ClusterOptions(scheduler="tls://head:8786", tls_ca="/etc/ca.pem")
    panel = SearchPanel(played)
    qtbot.addWidget(panel)
    panel.show()
    panel.use_cluster(Settings().cluster)
    assert not panel.workers.isEnabled() and "tls://head:8786" in panel.workers.toolTip()
    QTest.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    assert played.runner.last(Search).request.cluster.scheduler == "tls://head:8786"
    assert "cluster" not in played.project.settings[KEPT]  # it belongs to this machine, not to the project


def test_that_jobs_of_a_batch_system_are_set_and_kept_and_this_machine_is_chosen_again(qtbot):
    dialog = SettingsDialog(Settings())
    qtbot.addWidget(dialog)
    dialog.show()
    form = dialog.cluster
    form.where.setCurrentIndex(form.where.findData("slurm"))
    assert form.fields["queue"].isVisible() and not form.fields["scheduler"].isVisible()
    QTest.keyClicks(form.fields["queue"], "short;rm")
    QTest.keyClick(form.fields["queue"], Qt.Key.Key_Return)
    assert dialog.isVisible() and "how many jobs to start" in dialog.message.text()
    form.fields["jobs"].setValue(40)
    QTest.keyClick(form.fields["queue"], Qt.Key.Key_Return)
    assert dialog.isVisible() and "cannot be the queue of a job" in dialog.message.text()
    form.fields["queue"].clear()
    QTest.keyClicks(form.fields["queue"], "short")
    form.fields["hours"].setValue(8)
    QTest.keyClick(form.fields["queue"], Qt.Key.Key_Return)
    chosen = Settings().cluster
    assert chosen == ClusterOptions(start="slurm", jobs=40, queue="short", hours=8.0) and chosen.asked

    again = SettingsDialog(Settings())
    qtbot.addWidget(again)
    assert again.cluster.where.currentData() == "slurm" and again.cluster.options() == chosen
    again.cluster.where.setCurrentIndex(0)
    again.accept()
    assert not Settings().cluster.asked and Settings().cluster.jobs == 40
