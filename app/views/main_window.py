"""The main window: welcome page or the four pages of a project, menus, tool bar, log dock, status bar."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import (
    QAction,
    QActionGroup,
    QCloseEvent,
    QDragEnterEvent,
    QDropEvent,
    QKeySequence,
    QResizeEvent,
    QShowEvent,
)
from PySide6.QtWidgets import (
    QDockWidget,
    QFileDialog,
    QMainWindow,
    QMenu,
    QMessageBox,
    QStackedWidget,
    QToolBar,
)

import core
from app import actions, icons, report_document, theme
from app.notifications import Notification, Notifications
from app.session import Session
from app.settings import Settings
from app.views.command_palette import CommandPalette
from app.views.dialogs import ModelDialog, ShortcutSheet, may_close
from app.views.error_dialog import ErrorDialog
from app.views.help_view import HelpView
from app.views.log_view import LogView
from app.views.project_pages import ProjectPages
from app.views.settings_dialog import SettingsDialog
from app.views.status_bar import StatusBar
from app.views.tour import Tour
from app.views.welcome import Welcome
from core.errors import QuantiscopeError

if TYPE_CHECKING:  # they bring pyqtgraph, which the first window does without
    from app.views.compare_view import CompareView
    from app.views.export_panel import ExportPanel
    from app.views.layers_page import LayersPage
    from app.views.search_page import SearchPage

SIZE = (1440, 900)
LOG_HEIGHT = 200
#: a project is put among the recent ones this long after it was opened, in ms
REMEMBER_MS = 150
MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")


class MainWindow(QMainWindow):
    """Shows the session; holds no state of the project."""

    def __init__(self, session: Session, settings: Settings, notifications: Notifications) -> None:
        super().__init__()
        self.setObjectName("main_window")
        self.setWindowIcon(icons.application_icon())
        self.setAcceptDrops(True)
        self.resize(*SIZE)
        self._session = session
        self._settings = settings
        self.errors = ErrorDialog(self)
        self.help: HelpView | None = None
        self.tour: Tour | None = None
        self._soon = QTimer(self, objectName="show_soon", singleShot=True, interval=0)
        self._soon.timeout.connect(self._show_project)
        self._later = QTimer(self, objectName="remember_later", singleShot=True, interval=REMEMBER_MS)
        self._later.timeout.connect(self._remember)
        self._build_pages()
        self._build_log()
        self.status = StatusBar(session, self)
        self.setStatusBar(self.status)
        self._build_actions()
        self._restore()
        theme.manager().changed.connect(self._on_theme)
        notifications.posted.connect(self._on_notification)
        session.projectChanged.connect(self._on_project)
        session.selectionChanged.connect(self._on_state)
        session.searchStateChanged.connect(self._on_state)
        session.exportStateChanged.connect(self._on_state)
        session.busyChanged.connect(self._on_state)
        self._on_project()

    # -- building ----------------------------------------------------------------------------------

    def _build_pages(self) -> None:
        self.welcome = Welcome(self)
        self.tabs = ProjectPages(self._session, self)
        self.tabs.built.connect(self._on_built)
        self.stack = QStackedWidget(self, objectName="stack")
        self.stack.addWidget(self.welcome)
        self.stack.addWidget(self.tabs)
        self.setCentralWidget(self.stack)
        self.welcome.modelWanted.connect(self.choose_model)
        self.welcome.projectWanted.connect(self.choose_project)
        self.welcome.demoWanted.connect(self.open_demo)
        self.welcome.recentWanted.connect(self.open_path)

    def _on_built(self) -> None:
        """Connect the pages, and bring in what the window keeps for them."""
        self._on_settings()
        self.search.candidates.compareWanted.connect(self.show_compare)
        self.compare.exportWanted.connect(self.show_export)
        self.compare.editWanted.connect(self.show_layers)
        self.export.report.saveWanted.connect(self.save_report)
        self.layers.preset_menu.setTitle("&Presets")
        self.edit_menu.addMenu(self.layers.preset_menu)
        self.edit_menu.addSeparator()
        self.edit_menu.addActions(self.layers.edit_actions)
        self.layers.arrange(self._settings.window_state("layers"))

    @property
    def layers(self) -> LayersPage:
        """The Layers page."""
        return self.tabs.page("layers")

    @property
    def search(self) -> SearchPage:
        """The Search page."""
        return self.tabs.page("search")

    @property
    def compare(self) -> CompareView:
        """The Compare page."""
        return self.tabs.page("compare")

    @property
    def export(self) -> ExportPanel:
        """The Export page."""
        return self.tabs.page("export")

    def _build_log(self) -> None:
        self.log = LogView(self._session, self)
        self.log_dock = QDockWidget("Log", self, objectName="log_dock")
        self.log_dock.setWidget(self.log)
        self.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, self.log_dock)
        self.resizeDocks([self.log_dock], [LOG_HEIGHT], Qt.Orientation.Vertical)
        self.log_dock.hide()

    def _build_actions(self) -> None:
        self.actions_by_name = actions.build(self)
        for name, action, key in (("undo", self._session.undo_stack.createUndoAction(self, "&Undo"), "Ctrl+Z"),
                                  ("redo", self._session.undo_stack.createRedoAction(self, "&Redo"), "Ctrl+Shift+Z")):
            action.setObjectName(f"action_{name}")
            action.setShortcut(QKeySequence(key))
            action.setIconText(name.capitalize())
            self.actions_by_name[name] = action
        self._build_menus()
        bar = QToolBar("Tools", self, objectName="tool_bar", movable=False)
        bar.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        for name in actions.TOOLBAR:
            if name:
                bar.addAction(self.actions_by_name[name])
            else:
                bar.addSeparator()
        self.addToolBar(bar)
        actions.paint_icons(self.actions_by_name)

    def _build_menus(self) -> None:
        menus = {name: self.menuBar().addMenu(f"&{name}") for name in actions.MENUS}
        for spec in actions.ACTIONS:
            if spec.name == "quit":
                self.recent_menu = menus["File"].addMenu("Open &recent")
                self.recent_menu.triggered.connect(self._on_recent)
                menus["File"].addSeparator()
            menus[spec.menu].addAction(self.actions_by_name[spec.name])
        menus["Edit"].addActions([self.actions_by_name["undo"], self.actions_by_name["redo"]])
        menus["Edit"].addSeparator()
        self.edit_menu = menus["Edit"]
        log = self.log_dock.toggleViewAction()
        log.setObjectName("action_log")
        log.setShortcut(QKeySequence("Ctrl+L"))
        menus["View"].addAction(log)
        self._build_theme_menu(menus["View"])

    def _build_theme_menu(self, menu: QMenu) -> None:
        group = QActionGroup(self)
        below = menu.addMenu("&Theme")
        for mode, text in (("system", "Follow the &system"), ("light", "&Light"), ("dark", "&Dark")):
            action = QAction(text, group, objectName=f"action_theme_{mode}", checkable=True)
            action.setData(mode)
            action.setChecked(mode == self._settings.theme)
            below.addAction(action)
        group.triggered.connect(self._on_theme_chosen)

    # -- opening -----------------------------------------------------------------------------------

    def open_path(self, path: str) -> None:
        """Open a project folder, or a model file by way of the dialog."""
        if Path(path).suffix.lower() in MODEL_SUFFIXES:
            self.choose_model(model=path)
        elif self._may_leave():
            self._session.open_project(path)

    def choose_model(self, _: bool = False, model: str = "") -> None:
        """Ask for a model and make its project."""
        dialog = ModelDialog(model, self)
        if dialog.exec() and self._may_leave():
            self._session.open_model(dialog.model.text(), dialog.data.currentText(), dialog.folder.text())
        dialog.deleteLater()

    def choose_project(self) -> None:
        """Ask for a project folder and open it."""
        folder = QFileDialog.getExistingDirectory(self, "Open a project (name.qscope)")
        if folder:
            self.open_path(folder)

    def open_demo(self) -> None:
        """Open the bundled jet tagger."""
        if self._may_leave():
            self._session.open_demo()

    def _may_leave(self) -> bool:
        return not self._session.busy or may_close(self)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take one local file or folder."""
        if event.mimeData().hasUrls() and event.mimeData().urls()[0].isLocalFile():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped."""
        self.open_path(event.mimeData().urls()[0].toLocalFile())

    # -- actions -----------------------------------------------------------------------------------

    def show_layers(self) -> None:
        """Show the table of layers."""
        self.tabs.setCurrentWidget(self.layers)

    def show_search(self) -> None:
        """Show the search."""
        self.tabs.setCurrentWidget(self.search)

    def show_compare(self) -> None:
        """Show the candidates that are compared."""
        self.tabs.setCurrentWidget(self.compare)

    def show_export(self) -> None:
        """Show the export."""
        self.tabs.setCurrentWidget(self.export)

    def start_training(self) -> None:
        """Train the recipe being edited."""
        self._session.start_training()

    def start_search(self) -> None:
        """Search with what the form says."""
        self.show_search()
        self.search.panel.start.click()

    def pause_search(self) -> None:
        """Let the search wait, or go on."""
        self.search.panel.pause.click()

    def stop_search(self) -> None:
        """End the search."""
        self._session.stop_search()

    def apply_candidate(self) -> None:
        """Take the selected candidate's recipe into the table."""
        if self._session.selected_id is not None:
            self._session.apply_candidate(self._session.selected_id)
            self.show_layers()

    def start_export(self) -> None:
        """Export with what the form says."""
        self.show_export()
        self.export.start.click()

    def save_report(self) -> None:
        """Ask where the export's report goes, and write it with the plots as they are seen."""
        report = self.export.report.report
        project = self._session.project
        if report is None or project is None:
            return
        name, _ = QFileDialog.getSaveFileName(self, "Save report", f"{report.candidate_id}-{report.flow}.html",
                                              "Web page (*.html);;Document (*.pdf)")
        if not name:
            return
        plots = {plot.title.text(): plot.picture().png() for plot in (self.search.pareto, self.search.roc)}
        origin = {"project": str(project.folder), "model": str(project.model_path), "data": project.data_reference}
        text = report_document.document(report, self._session.candidates.get(report.candidate_id), origin, plots)
        try:
            report_document.save(Path(name), text)
        except QuantiscopeError as error:
            self._session.errorRaised.emit(error)

    def show_errors(self) -> None:
        """List what went wrong."""
        self.errors.present()

    def show_shortcuts(self) -> None:
        """List the shortcuts."""
        ShortcutSheet(self).show()

    def show_palette(self) -> None:
        """Find and run any action of the menus."""
        CommandPalette(_leaves(self.menuBar().actions()), self).open()

    def show_settings(self) -> None:
        """Choose theme, size and processes."""
        dialog = SettingsDialog(self._settings, self)
        dialog.finished.connect(self._on_settings)
        dialog.open()

    def _on_settings(self) -> None:
        if self.tabs.complete:
            self.search.panel.use_processes(self._settings.workers)
            self.search.panel.use_cluster(self._settings.cluster)

    def show_help(self) -> None:
        """The manual, at the section of this page."""
        if self.help is None:
            self.help = HelpView(self)
        inside = self._session.project is not None
        self.help.open_at(self.tabs.tabText(self.tabs.currentIndex()) if inside else "Welcome")

    def start_tour(self) -> None:
        """Six steps; opens the demo where no project is open."""
        if self._session.project is None:
            self.open_demo()
        if self._session.project is not None and self.tour is None:
            self._show_project()
            self.tour = Tour(self)
            self.tour.ended.connect(self._on_tour_ended)

    def _on_tour_ended(self) -> None:
        self.tour = None

    def showEvent(self, event: QShowEvent) -> None:
        """Build the pages once the window is seen."""
        super().showEvent(event)
        self.tabs.prepare()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The tour covers the window whatever its size."""
        super().resizeEvent(event)
        if self.tour is not None:
            self.tour.follow_size()

    def show_about(self) -> None:
        """Version and licence."""
        QMessageBox.about(self, "About Quantiscope", f"Quantiscope {core.__version__}\n\nFrom a trained Keras model to"
                          " trigger firmware, with every trade-off visible.\nApache License 2.0.")

    # -- following ---------------------------------------------------------------------------------

    def _on_project(self) -> None:
        project = self._session.project
        if project is not None:
            self.tabs.page("layers")
        self._soon.start()
        title = f"{project.name}{' (read only)' if project.read_only else ''} \u2014 " if project is not None else ""
        self.setWindowTitle(f"{title}Quantiscope")
        self._on_state()

    def _show_project(self) -> None:
        """Show the pages a turn after they have taken the project in: both at once would take too long."""
        self.stack.setCurrentWidget(self.tabs if self._session.project is not None else self.welcome)
        self._later.start()

    def _remember(self) -> None:
        """Put the open project at the head of the recent ones, which waits for the disk."""
        self._later.stop()
        if self._session.project is not None:
            self._settings.add_recent(self._session.project.folder)
        self.welcome.set_recent(self._settings.recent)
        self.recent_menu.clear()
        for folder in self._settings.recent:
            self.recent_menu.addAction(str(folder)).setData(str(folder))

    def _on_state(self, *_: object) -> None:
        session, by_name = self._session, self.actions_by_name
        open_, search = session.project is not None, session.search_state
        for name in ("layers_page", "search_page", "compare_page", "export_page"):
            by_name[name].setEnabled(open_)
        by_name["train"].setEnabled(open_ and session.train_job is None)
        by_name["search"].setEnabled(open_ and search == "idle")
        by_name["pause"].setEnabled(search in ("running", "paused"))
        by_name["stop"].setEnabled(search in ("running", "paused"))
        by_name["apply"].setEnabled(session.selected is not None)
        by_name["export"].setEnabled(session.selected is not None and session.export_state == "idle")

    def _on_notification(self, notification: Notification) -> None:
        if notification.level == "error":
            self.errors.add(notification)
            self.errors.present()
        self.status.notice(notification.text)

    def _on_recent(self, action: QAction) -> None:
        self.open_path(action.data())

    def _on_theme_chosen(self, action: QAction) -> None:
        self._settings.theme = action.data()
        theme.manager().set_mode(action.data())

    def _on_theme(self) -> None:
        actions.paint_icons(self.actions_by_name)

    # -- remembering -------------------------------------------------------------------------------

    def _restore(self) -> None:
        self.restoreGeometry(self._settings.window_state("geometry"))
        self.restoreState(self._settings.window_state("docks"))

    def closeEvent(self, event: QCloseEvent) -> None:
        """Ask before ending a running job; remember place and size; leave nothing running."""
        if not self._may_leave():
            event.ignore()
            return
        if self._soon.isActive() or self._later.isActive():
            self._remember()
        self._settings.set_window_state("geometry", self.saveGeometry().data())
        self._settings.set_window_state("docks", self.saveState().data())
        if self.tabs.complete:
            self._settings.set_window_state("layers", self.layers.arrangement())
        self.errors.close()
        self._session.close()
        event.accept()


def _leaves(found: list[QAction]) -> list[QAction]:
    """The actions of menus and of the menus below them."""
    return [leaf for action in found for leaf in (_leaves(action.menu().actions()) if action.menu() else [action])]
