#!/usr/bin/env bash
# Open the window on the bundled jet tagger; without a display, do the same work headless.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname)" = Darwin ] || [ -n "${DISPLAY:-}" ] || [ -n "${WAYLAND_DISPLAY:-}" ]; then
  exec .venv/bin/quantiscope demo
fi
echo "No display found: running the demo headless instead, its results go to demo-out/."
exec .venv/bin/quantiscope demo --headless --out demo-out
