"""Where searches run: on this machine, on a scheduler that runs, or on a cluster that is started for each of them."""

from __future__ import annotations

from PySide6.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QFormLayout, QLineEdit, QSpinBox, QWidget

from core.cluster_options import STARTED, ClusterOptions

#: what runs already
RUNNING = "scheduler"
PLACES = {"": "This machine", RUNNING: "A Dask scheduler that runs", "local": "A cluster of this machine",
          "slurm": "Jobs of Slurm", "htcondor": "Jobs of HTCondor"}
_QUEUED = frozenset(name for name, command in STARTED.items() if command)
#: field of ClusterOptions -> its label, and the places that it is for
_ROWS = {
    "scheduler": ("Address", {RUNNING}), "tls_ca": ("TLS authority", {RUNNING}),
    "tls_cert": ("TLS certificate", {RUNNING}), "tls_key": ("TLS key", {RUNNING}), "plain": ("", {RUNNING}),
    "jobs": ("Jobs", set(STARTED)), "workers_per_job": ("Processes a job", _QUEUED), "queue": ("Queue", _QUEUED),
    "account": ("Account", {"slurm"}), "memory_gb": ("Memory a process", set(STARTED)), "hours": ("Time", {"slurm"}),
    "interface": ("Network", _QUEUED)}


class ClusterForm(QWidget):
    """Shows the fields of the place that is chosen; what the others hold is kept."""

    def __init__(self, options: ClusterOptions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("cluster_form")
        self.where = QComboBox(self, objectName="settings_where", toolTip="Where searches train their candidates")
        for place, text in PLACES.items():
            self.where.addItem(text, place)
        self.where.setAccessibleName("Searches run on")
        self.fields: dict[str, QWidget] = {
            **self._texts(options), **self._numbers(options),
            "plain": QCheckBox("Allow an unencrypted scheduler outside of private networks", self,
                               objectName="settings_plain", checked=options.plain)}
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.addRow("Searches run on", self.where)
        for name, (label, _) in _ROWS.items():
            if label:
                self.fields[name].setAccessibleName(label)
            self._form.addRow(label, self.fields[name])
        self.where.currentIndexChanged.connect(self._show_fields)
        self.where.setCurrentIndex(self.where.findData(options.start or (RUNNING if options.scheduler else "")))
        self._show_fields()

    def _texts(self, options: ClusterOptions) -> dict[str, QWidget]:
        told = {"scheduler": ("tls://head:8786", "Address of a Dask scheduler"),
                "tls_ca": ("as Dask is configured", "PEM file of the scheduler's authority"),
                "tls_cert": ("as Dask is configured", "PEM file of your certificate"),
                "tls_key": ("as Dask is configured", "PEM file of your key"),
                "queue": ("as it is configured", "Partition of Slurm, accounting group of HTCondor"),
                "account": ("as it is configured", "Whom Slurm charges"),
                "interface": ("any", "Network that jobs reach this machine by, such as ib0")}
        return {name: QLineEdit(getattr(options, name), self, objectName=f"settings_{name}", placeholderText=empty,
                                toolTip=tip) for name, (empty, tip) in told.items()}

    def _numbers(self, options: ClusterOptions) -> dict[str, QWidget]:
        self._jobs = QSpinBox(self, objectName="settings_jobs", minimum=0, maximum=100_000, value=options.jobs,
                              toolTip="How many jobs are started for a search")
        return {
            "jobs": self._jobs,
            "workers_per_job": QSpinBox(self, objectName="settings_workers_per_job", minimum=1, maximum=1024,
                                        value=options.workers_per_job, toolTip="One core each"),
            "memory_gb": QDoubleSpinBox(self, objectName="settings_memory_gb", minimum=0.0, maximum=10_000.0,
                                        value=options.memory_gb, suffix=" GB", specialValueText="no limit",
                                        toolTip="A process that takes more is ended"),
            "hours": QDoubleSpinBox(self, objectName="settings_hours", minimum=0.1, maximum=10_000.0,
                                    value=options.hours, suffix=" h",
                                    toolTip="After which Slurm ends a job; another is then submitted")}

    def _show_fields(self) -> None:
        place = self.where.currentData()
        self._jobs.setSpecialValueText("one a core" if place == "local" else "how many?")
        for name, (_, places) in _ROWS.items():
            self._form.setRowVisible(self.fields[name], place in places)

    def options(self) -> ClusterOptions:
        """What the fields say; those of another place keep their values. Raises ClusterError."""
        values = {name: _value(field) for name, field in self.fields.items()}
        place = self.where.currentData()
        if place != RUNNING:
            values["scheduler"] = ""
        if place in ("", RUNNING):
            options = ClusterOptions(**values)
        else:
            options = ClusterOptions(start=place, **{name: value for name, value in values.items()
                                                     if RUNNING not in _ROWS[name][1]})
        if place == RUNNING:
            options.check_address()
        options.check()
        return options


def _value(field: QWidget) -> str | int | float | bool:
    if isinstance(field, QLineEdit):
        return field.text().strip()
    if isinstance(field, QCheckBox):
        return field.isChecked()
    assert isinstance(field, QSpinBox | QDoubleSpinBox)
    return field.value()
