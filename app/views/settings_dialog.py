"""What the user may set for all projects: looks, size of everything, where searches run."""

from __future__ import annotations

import os

from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.settings import SCALES, Settings
from app.views.cluster_form import ClusterForm
from core.errors import ClusterError

THEMES = {"system": "As the system", "light": "Light", "dark": "Dark"}


class SettingsDialog(QDialog):
    """Takes effect on OK; the scale when the program is started the next time."""

    def __init__(self, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("settings_dialog")
        self.setWindowTitle("Settings")
        self.resize(480, 360)
        self._settings = settings
        self.theme = QComboBox(self, objectName="settings_theme", toolTip="Colours of the window and the plots")
        for mode, text in THEMES.items():
            self.theme.addItem(text, mode)
        self.theme.setCurrentIndex(self.theme.findData(settings.theme))
        self.scale = QComboBox(self, objectName="settings_scale", toolTip="Size of text and controls")
        for percent in SCALES:
            self.scale.addItem(f"{percent} %", percent)
        self.scale.setCurrentIndex(self.scale.findData(settings.scale))
        cores = os.cpu_count() or 1
        self.workers = QSpinBox(self, objectName="settings_workers", minimum=0, maximum=4 * cores,
                                value=settings.workers, specialValueText=f"one a core ({cores})",
                                toolTip="Processes that a search trains with; with one, the same seed gives the"
                                        " same candidates")
        self.cluster = ClusterForm(settings.cluster, self)
        self.message = QLabel("", self, objectName="settings_message", wordWrap=True)
        theme.set_role(self.message, "error")
        self.message.hide()
        self.note = QLabel("The size changes when Quantiscope is started the next time.", self,
                           objectName="settings_note", wordWrap=True)
        theme.set_role(self.note, "muted")
        form = QFormLayout()
        for label, widget in (("Theme", self.theme), ("Size", self.scale), ("Search processes", self.workers)):
            widget.setAccessibleName(label)
            form.addRow(label, widget)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel,
                                        self, objectName="settings_buttons")
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.cluster)
        layout.addWidget(self.message)
        layout.addWidget(self.note)
        layout.addStretch(1)
        layout.addWidget(self.buttons)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)

    def accept(self) -> None:
        """Keep what was chosen and apply it; a cluster that cannot be meant keeps the dialog open."""
        try:
            self._settings.cluster = self.cluster.options()
        except ClusterError as error:
            self.message.setText(str(error))
            self.message.show()
            self.cluster.where.setFocus()
            return
        self._settings.theme = self.theme.currentData()
        self._settings.scale = self.scale.currentData()
        self._settings.workers = self.workers.value()
        theme.manager().set_mode(self._settings.theme)
        super().accept()
