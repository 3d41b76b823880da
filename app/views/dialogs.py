"""Small dialogs: a new project from a model, the shortcut sheet, whether to close."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.actions import ACTIONS
from core.dataset import references

MODELS = "Keras models (*.keras *.h5 *.hdf5);;All files (*)"
DATASETS = "Datasets (*.npz *.npy *.h5 *.hdf5 *.csv *.parquet *.root);;All files (*)"


class ModelDialog(QDialog):
    """Asks for a model, the events to judge it on, and where the project goes."""

    def __init__(self, model: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("model_dialog")
        self.setWindowTitle("New project from a model")
        self.resize(560, 180)
        self.model = QLineEdit(self, objectName="model_path", placeholderText="A .keras or .h5 file")
        self.data = QComboBox(self, objectName="data_reference", editable=True)
        self.data.addItems(references())
        self.data.setToolTip("A dataset file, the bundled jets, or the events of a model family")
        self.folder = QLineEdit(self, objectName="project_folder")
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel,
                                        self, objectName="model_buttons")
        form = QFormLayout()
        form.addRow("Model", self._row(self.model, "browse_model", self._browse_model))
        form.addRow("Data", self._row(self.data, "browse_data", self._browse_data))
        form.addRow("Project folder", self.folder)
        for name, widget in (("Model", self.model), ("Data", self.data), ("Project folder", self.folder)):
            widget.setAccessibleName(name)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addStretch(1)
        layout.addWidget(self.buttons)
        self.model.textChanged.connect(self._on_model)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.model.setText(model)
        self._on_model(model)

    def _row(self, widget: QWidget, name: str, browse: object) -> QWidget:
        holder = QWidget(self, objectName=f"{name}_row")
        button = QPushButton("Browse\u2026", holder, objectName=name)
        button.clicked.connect(browse)
        layout = QHBoxLayout(holder)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(widget, 1)
        layout.addWidget(button)
        return holder

    def _on_model(self, text: str) -> None:
        self.folder.setText(str(Path(text).with_suffix(".qscope")) if text else "")
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(bool(text))

    def _browse_model(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a model", self.model.text(), MODELS)
        if path:
            self.model.setText(path)

    def _browse_data(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a dataset", "", DATASETS)
        if path:
            self.data.setCurrentText(path)


class ShortcutSheet(QDialog):
    """Every shortcut, read from the declared actions."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("shortcut_sheet")
        self.setWindowTitle("Keyboard shortcuts")
        grid = QGridLayout()
        grid.setHorizontalSpacing(24)
        rows = [(spec.tip, spec.shortcut) for spec in ACTIONS if spec.shortcut]
        rows += [("Undo", "Ctrl+Z"), ("Redo", "Ctrl+Shift+Z"), ("Edit the quantizer of a cell", "Enter or F2"),
                 ("Leave the selected cells in float", "Del"),
                 ("Copy, cut and paste cells", "Ctrl+C, Ctrl+X, Ctrl+V"),
                 ("Fill down the selected cells", "Ctrl+D"), ("Filter the layers", "Ctrl+F"),
                 ("Next or previous point of the front", "Right, Left")]
        for number, (tip, keys) in enumerate(rows):
            label = QLabel(keys, self, objectName=f"shortcut_{number}")
            theme.set_role(label, "heading")
            grid.addWidget(label, number, 0)
            grid.addWidget(QLabel(tip, self, objectName=f"shortcut_tip_{number}"), number, 1)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close, self, objectName="shortcut_buttons")
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(grid)
        layout.addWidget(buttons)


def may_close(parent: QWidget) -> bool:
    """Ask whether running jobs may be ended."""
    answer = QMessageBox.question(
        parent, "A job is running", "Stop what is running and close?\n\nEvery finished candidate is stored; a search"
        " goes on from there when it is started again.",
        QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No, QMessageBox.StandardButton.No)
    return answer == QMessageBox.StandardButton.Yes
