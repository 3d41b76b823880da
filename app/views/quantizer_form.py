"""The quantizer of the selected cells, argument by argument; each change is applied to all of them at once."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.models import quantizer_form as form
from app.models.layer_table import LayerTableModel
from app.session import Session
from core.errors import QuantiscopeError
from core.quant.measures import Key
from core.quant.spec import Value

NOTHING = "Select a quantizer in the table to edit it here."
FIELD_HEIGHT = 24
WIDTH = 232


class QuantizerForm(QScrollArea):
    """Shows the quantizer of the first of some cells: call `show_cells`."""

    def __init__(self, session: Session, layers: LayerTableModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("quantizer_form")
        self.setAccessibleName("Quantizer of the selected cells")
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(WIDTH)
        self._session = session
        self._layers = layers
        self._keys: list[Key] = []
        self._steps = 0
        self._built: tuple[str, tuple[str, ...]] | None = None
        self.fields: dict[str, QWidget] = {}
        self._build()
        session.recipeChanged.connect(self.refresh)
        session.projectChanged.connect(self._on_project)
        session.analysis.effectiveChanged.connect(self._tell)
        session.analysis.sensitivityChanged.connect(self._tell)
        self.show_cells([])

    def _build(self) -> None:
        body = QWidget(self, objectName="quantizer_form_body")
        self.title = QLabel("Quantizer", body, objectName="quantizer_form_title", wordWrap=True)
        theme.set_role(self.title, "heading")
        self.note = QLabel("", body, objectName="quantizer_form_note", wordWrap=True)
        theme.set_role(self.note, "muted")
        self.kind = QComboBox(body, objectName="field_kind")
        self.kind.setAccessibleName("Kind of quantizer")
        self.kind.addItems(form.kinds())
        self.kind.setMinimumHeight(FIELD_HEIGHT)
        self.kind.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.kind.activated.connect(self._on_kind)
        self.common, self.rare = (QFormLayout(horizontalSpacing=10, verticalSpacing=4) for _ in range(2))
        self.common.addRow("kind", self.kind)
        self.more = QToolButton(body, objectName="quantizer_form_more", text="More arguments", checkable=True,
                                autoRaise=True)
        self.more.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.more.toggled.connect(self._on_more)
        self.rare_holder = QWidget(body, objectName="quantizer_form_rare")
        self.rare_holder.setLayout(self.rare)
        self.rare.setContentsMargins(0, 0, 0, 0)
        layout = QVBoxLayout(body)
        layout.setContentsMargins(2, 4, 8, 4)
        layout.setSpacing(4)
        layout.addWidget(self.title)
        layout.addWidget(self.note)
        layout.addLayout(self.common)
        layout.addWidget(self.more, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(self.rare_holder)
        layout.addStretch(1)
        self.setWidget(body)
        self._on_more(False)

    # -- what is shown -----------------------------------------------------------------------------

    def show_cells(self, keys: list[Key]) -> None:
        """Edit these cells from now on; their first one is shown."""
        if keys != self._keys:
            self._steps += 1  # another selection: another step to undo
        self._keys = keys
        self.refresh()

    def _on_project(self) -> None:
        self.show_cells([])

    def refresh(self) -> None:
        """Show what the cells hold now, without touching the field that is being used."""
        text = self._session.quantizer(*self._keys[0]) if self._keys else None
        self.kind.setEnabled(bool(self._keys))
        self.kind.setCurrentText(text.split("(")[0] if text else form.FLOAT)
        found = form.fields(text) if self._keys else []
        built = (self.kind.currentText(), tuple(field.name for field in found))
        if built != self._built:
            self._rebuild(found)
            self._built = built
        for field in found:
            self._set(field)
        self._tell()

    def _tell(self) -> None:
        """Whose quantizer it is, its precision, and where it came from."""
        if not self._keys:
            self.title.setText("Quantizer")
            self.note.setText(NOTHING)
            return
        layer, parameter = self._keys[0]
        more = f" and {len(self._keys) - 1} more" if len(self._keys) > 1 else ""
        self.title.setText(f"{parameter.replace('_', ' ').capitalize()} of {layer}{more}")
        lines = []
        tensor = self._layers.tensor(layer, parameter)
        if tensor is not None:
            lines.append(f"In force: {tensor.format}, {tensor.origin}")
        spec = self._session.recipe.spec(layer, parameter)
        if spec is not None and str(spec) != self._session.quantizer(layer, parameter):
            lines.append(f"QKeras applies {spec}")
        lines.append(self._layers.sensitivity_text((layer, parameter)))
        self.note.setText("\n".join(filter(None, lines)))

    def _rebuild(self, found: list[form.Field]) -> None:
        while self.common.rowCount() > 1:
            self.common.removeRow(1)
        while self.rare.rowCount():
            self.rare.removeRow(0)
        self.fields = {}
        for field in found:
            widget = self._widget(field)
            widget.setAccessibleName(field.name.replace("_", " "))
            widget.setToolTip(field.tip)
            widget.setMinimumHeight(FIELD_HEIGHT)
            self.fields[field.name] = widget
            (self.common if field.common else self.rare).addRow(field.name.replace("_", " "), widget)
        self.more.setVisible(any(not field.common for field in found))
        self._on_more(self.more.isChecked())

    def _widget(self, field: form.Field) -> QWidget:
        name, body = f"field_{field.name}", self.widget()
        if field.type == "int":
            spin = QSpinBox(body, objectName=name, minimum=field.low, maximum=field.high, keyboardTracking=False)
            spin.setCorrectionMode(QAbstractSpinBox.CorrectionMode.CorrectToNearestValue)
            spin.valueChanged.connect(self._on_changed)
            return spin
        if field.type == "bool":
            check = QCheckBox(body, objectName=name)
            check.toggled.connect(self._on_changed)
            return check
        if field.type == "choice":
            combo = QComboBox(body, objectName=name, editable=True)
            combo.addItems(field.choices)
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.activated.connect(self._on_changed)
            combo.lineEdit().editingFinished.connect(self._on_changed)
            combo.lineEdit().setObjectName(f"{name}_text")
            return combo
        line = QLineEdit(body, objectName=name)
        line.editingFinished.connect(self._on_changed)
        return line

    def _set(self, field: form.Field) -> None:
        widget = self.fields[field.name]
        widget.blockSignals(True)
        if isinstance(widget, QSpinBox):
            widget.setValue(int(field.value or 0))
        elif isinstance(widget, QCheckBox):
            widget.setChecked(bool(field.value))
        elif isinstance(widget, QComboBox):
            widget.setCurrentText(_shown(field.value))
        elif isinstance(widget, QLineEdit):
            widget.setText(_shown(field.value))
        widget.blockSignals(False)

    # -- edits -------------------------------------------------------------------------------------

    def _on_more(self, shown: bool) -> None:
        self.more.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        self.rare_holder.setVisible(shown)

    def _on_kind(self, _: int) -> None:
        self._apply(form.KIND, self.kind.currentText())

    def _on_changed(self, *_: object) -> None:
        sender = self.sender()
        name = sender.objectName().removeprefix("field_").removesuffix("_text") if sender is not None else ""
        widget = self.fields.get(name)
        if widget is not None:
            self._apply(name, _VALUES[type(widget)](widget))

    def _apply(self, name: str, value: Value) -> None:
        """Change one argument of every cell; turning a spin box is one step to undo."""
        try:
            changes = form.changes(self._session, self._keys, name, value)
        except QuantiscopeError as error:
            self._layers.rejected.emit(error)
            self.refresh()
            return
        if changes:
            self._layers.set_quantizers(changes, step=f"form {self._steps} {name}")


def _shown(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


_VALUES: dict[type, Callable[..., Value]] = {
    QSpinBox: lambda widget: widget.value(), QCheckBox: lambda widget: widget.isChecked(),
    QComboBox: lambda widget: form.read_value(widget.currentText()),
    QLineEdit: lambda widget: form.read_value(widget.text()),
}
