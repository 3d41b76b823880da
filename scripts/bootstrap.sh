#!/usr/bin/env bash
# Make .venv and install Quantiscope with its developer tools into it; install or name missing system
# packages. Safe to run again: it does nothing when nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=.venv/.installed
say() { printf 'bootstrap: %s\n' "$*" >&2; }
runs() { "$@" >/dev/null 2>&1; }

# --- system packages (Debian and Ubuntu names), each with what shows that it is there ---
# window: Qt's libraries; virtual screen: tests on X11; perl, g++, make: Verilator and the C++ check
libraries="libgl1:libGL.so.1 libegl1:libEGL.so.1 libxkbcommon0:libxkbcommon.so.0 libdbus-1-3:libdbus-1.so.3
  libglib2.0-0:libglib-2.0.so.0 libfontconfig1:libfontconfig.so.1 libxcb-cursor0:libxcb-cursor.so.0
  libxcb-icccm4:libxcb-icccm.so.4 libxcb-keysyms1:libxcb-keysyms.so.1 libxcb-shape0:libxcb-shape.so.0
  libxcb-xkb1:libxcb-xkb.so.1 libxkbcommon-x11-0:libxkbcommon-x11.so.0"
programs="xvfb:Xvfb xauth:xauth perl:perl g++:g++ make:make"

missing_packages() {
  local known entry
  known=$(PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null || true)
  for entry in $libraries; do
    case "$known" in *"${entry#*:} "*) ;; *) echo "${entry%%:*}" ;; esac
  done
  for entry in $programs; do
    command -v "${entry#*:}" >/dev/null || echo "${entry%%:*}"
  done
  [ -n "$(find /usr/share/fonts /usr/local/share/fonts ~/.fonts ~/.local/share/fonts -name '*.[to]tf' -print -quit \
    2>/dev/null)" ] || echo fonts-dejavu-core
}

install_packages() { # names; 0 when all are installed afterwards
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  say "installing system packages: $*"
  apt-get update -qq >/dev/null 2>&1 || say "apt-get update failed; trying with the lists at hand"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1
}

# what tests alone need: a database server of their own
test_packages() {
  { [ "$(uname)" = Linux ] && command -v apt-get && ! command -v initdb && ! ls /usr/lib/postgresql/*/bin/initdb; } \
    >/dev/null 2>&1 || return 0
  install_packages postgresql || say "the tests of a study in PostgreSQL are skipped without: sudo apt-get install postgresql"
}

system_packages() {
  [ "$(uname)" = Linux ] || return 0
  local missing
  missing=$(missing_packages | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  # shellcheck disable=SC2086
  install_packages $missing && return 0
  say "these system packages are missing: $missing"
  say "install them with: sudo apt-get install -y --no-install-recommends $missing"
}

# --- Python ---
fits() { runs "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'; }

find_python() {
  local name
  for name in python3.11 python3.12 python3.13 python3 python; do
    if fits "$name"; then command -v "$name"; return 0; fi
  done
  return 1
}

make_environment() {
  local python version
  if ! python=$(find_python); then
    install_packages python3 python3-venv || true
    python=$(find_python) || {
      say "Quantiscope needs Python 3.11, 3.12 or 3.13, and none was found;" \
        "install one (for example: sudo apt-get install python3 python3-venv) and run this again."
      exit 1
    }
  fi
  if ! runs "$python" -c 'import ensurepip, venv'; then
    version=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    install_packages "$version" || {
      say "$python cannot make virtual environments; install $version (sudo apt-get install $version) and run this again."
      exit 1
    }
  fi
  say "making .venv with $("$python" --version) ($python)"
  rm -rf .venv
  "$python" -m venv .venv
}

python_packages() {
  local wanted
  wanted="$(cksum <pyproject.toml) $PWD"
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return 0
  say "installing Python packages into .venv (a few minutes the first time)"
  if ! .venv/bin/python -m pip install -qq --disable-pip-version-check --editable '.[dev]'; then
    say "pip could not install the packages named in pyproject.toml; check the network and run this again."
    exit 1
  fi
  echo "$wanted" >"$stamp"
}

system_packages
[ "${1:-}" != tests ] || test_packages
fits .venv/bin/python && runs .venv/bin/python -m pip --version || make_environment
python_packages
