"""The window's process never loads TensorFlow or Keras, not even when a project is open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import sys
from app import application
import app.views.main_window
application.create_application()
parts = application.Application()
parts.window.show()
parts.session.close()
print(sorted(name for name in ("tensorflow", "keras", "hls4ml", "alkaid", "pyosys", "optuna") if name in sys.modules))
"""


def test_that_the_window_loads_neither_tensorflow_nor_keras(tmp_path):
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "QUANTISCOPE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, env=environment, capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
