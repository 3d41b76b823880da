"""The manual in a window of its own, opened at the section of the page the user is on."""

from __future__ import annotations

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QImage, QTextCursor, QTextDocument
from PySide6.QtWidgets import QDialog, QHBoxLayout, QListWidget, QSplitter, QTextBrowser, QWidget

from app import help as manual

SIZE = (860, 640)
PICTURE_WIDTH = 560


class _Browser(QTextBrowser):
    """Pictures no wider than the text."""

    def loadResource(self, kind: int, name: QUrl) -> object:
        """A picture scaled to the text; anything else as Qt finds it."""
        found = super().loadResource(kind, name)
        if int(getattr(kind, "value", kind)) != QTextDocument.ResourceType.ImageResource.value:
            return found
        picture = found if isinstance(found, QImage) else QImage.fromData(found or b"")
        if picture.width() <= PICTURE_WIDTH:
            return picture
        return picture.scaledToWidth(PICTURE_WIDTH, Qt.TransformationMode.SmoothTransformation)


class HelpView(QDialog):
    """Not modal: it can stay open beside the work."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("help_view")
        self.setWindowTitle("Quantiscope help")
        self.resize(*SIZE)
        text = manual.manual()
        self.contents = QListWidget(self, objectName="help_contents")
        self.contents.setAccessibleName("Sections of the manual")
        self.contents.addItems(manual.sections(text))
        self.browser = _Browser(self, objectName="help_text")
        self.browser.setAccessibleName("Manual")
        self.browser.setOpenExternalLinks(True)
        if manual.folder() is not None:
            self.browser.setSearchPaths([str(manual.folder())])
        self.browser.setMarkdown(text)
        splitter = QSplitter(self, objectName="help_splitter")
        splitter.addWidget(self.contents)
        splitter.addWidget(self.browser)
        splitter.setStretchFactor(1, 1)
        splitter.setSizes([170, SIZE[0] - 170])
        layout = QHBoxLayout(self)
        layout.addWidget(splitter)
        self.contents.currentTextChanged.connect(self._go)

    def open_at(self, section: str) -> None:
        """Show the section of that title, or the beginning where there is none."""
        self.show()
        for row in range(self.contents.count()):
            if self.contents.item(row).text() == section:
                self.contents.setCurrentRow(row)
                self._go(section)  # also where it was chosen before and scrolled away from
        self.raise_()
        self.activateWindow()

    @property
    def section(self) -> str:
        """The section that is chosen; empty before any was."""
        item = self.contents.currentItem()
        return item.text() if item is not None else ""

    def _go(self, section: str) -> None:
        document = self.browser.document()
        block = document.begin()
        while block.isValid():
            if block.blockFormat().headingLevel() == 2 and block.text() == section:
                self.browser.setTextCursor(QTextCursor(block))
                self.browser.verticalScrollBar().setValue(
                    int(document.documentLayout().blockBoundingRect(block).top()))
                return
            block = block.next()
