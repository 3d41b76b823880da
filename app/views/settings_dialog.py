"""What the user may set for all projects: looks, size of everything, where searches run."""

from __future__ import annotations

import os

import msgspec
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.settings import SCALES, Settings
from core.cluster_options import ClusterOptions
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
        self._make_cluster(settings.cluster)
        self.note = QLabel("The size changes when Quantiscope is started the next time.", self,
                           objectName="settings_note", wordWrap=True)
        theme.set_role(self.note, "muted")
        form = QFormLayout()
        for label, widget in (("Theme", self.theme), ("Size", self.scale), ("Search processes", self.workers),
                              ("Cluster scheduler", self.scheduler), ("TLS authority", self.tls["tls_ca"]),
                              ("TLS certificate", self.tls["tls_cert"]), ("TLS key", self.tls["tls_key"])):
            widget.setAccessibleName(label)
            form.addRow(label, widget)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel,
                                        self, objectName="settings_buttons")
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.plain)
        layout.addWidget(self.message)
        layout.addWidget(self.note)
        layout.addStretch(1)
        layout.addWidget(self.buttons)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)

    def _make_cluster(self, options: ClusterOptions) -> None:
        """The Dask scheduler that searches go to, if there is one."""
        self._cluster = options
        self.scheduler = QLineEdit(options.scheduler, self, objectName="settings_scheduler",
                                   placeholderText="none: this machine; tls://head:8786")
        self.scheduler.setToolTip("Address of a Dask scheduler whose workers train in the place of this machine's"
                                  " processes")
        self.tls = {}
        for name, text in (("tls_ca", "PEM file of the scheduler's authority"), ("tls_cert", "PEM file of your"
                           " certificate"), ("tls_key", "PEM file of your key")):
            self.tls[name] = QLineEdit(getattr(options, name), self, objectName=f"settings_{name}",
                                       placeholderText="as Dask is configured", toolTip=text)
        self.plain = QCheckBox("Allow an unencrypted scheduler outside of private networks", self,
                               objectName="settings_plain", checked=options.plain)
        self.message = QLabel("", self, objectName="settings_message", wordWrap=True)
        theme.set_role(self.message, "error")
        self.message.hide()

    def _chosen_cluster(self) -> ClusterOptions:
        """What the fields say; raises ClusterError where it cannot be meant."""
        files = {name: line.text().strip() for name, line in self.tls.items()}
        options = msgspec.structs.replace(self._cluster, scheduler=self.scheduler.text().strip(),
                                          plain=self.plain.isChecked(), **files)
        options.check()
        return options

    def accept(self) -> None:
        """Keep what was chosen and apply it; an address that cannot be meant keeps the dialog open."""
        try:
            self._settings.cluster = self._chosen_cluster()
        except ClusterError as error:
            self.message.setText(str(error))
            self.message.show()
            self.scheduler.setFocus()
            return
        self._settings.theme = self.theme.currentData()
        self._settings.scale = self.scale.currentData()
        self._settings.workers = self.workers.value()
        theme.manager().set_mode(self._settings.theme)
        super().accept()
