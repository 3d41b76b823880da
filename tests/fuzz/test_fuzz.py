"""A short run of what `make fuzz` does, and the checks of the checkers: each sort of misdeed is seen."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import resources
from core import guard
from core.errors import DatasetError, ModelFileError, QuantiscopeError, QuantizerError, RecipeError
from core.files import sha256_of

pytest.importorskip("resource")  # limits of POSIX

from tests.fuzz import driver, targets

ROOT = Path(__file__).resolve().parents[2]
FEW = (".keras with a hostile description", "dataset .npz, headers that lie", "project folder")


@pytest.mark.parametrize("name", FEW)
def test_that_a_few_hostile_inputs_are_refused_or_read(name):
    count = 120  # most damage to a project is to one candidate's files: that one is left out, the project opens
    tally = driver.fuzz(targets.BY_NAME[name], "mutation", count, "test")
    assert tally.findings == [] and tally.inputs == count == tally.refused + tally.accepted
    assert tally.refused > 5


def misbehaves(data, folder):
    """What no reader may do."""
    if data == b"write":
        (folder.parent.parent / "written-outside").write_text("x")
    elif data == b"start":
        subprocess.run(["true"], check=True)
    elif data == b"run":
        exec("a = 1")
    elif data == b"raise":
        raise KeyError("x")
    elif data == b"lines":
        raise QuantiscopeError("one", remedy="two\nthree")


@pytest.mark.parametrize(("data", "kind"), [(b"write", "written outside"), (b"start", "started"), (b"run", "executed"),
                                            (b"raise", "exception"), (b"lines", "message"), (b"nothing", None)])
def test_that_the_sandbox_sees_what_a_reader_must_not_do(tmp_path, data, kind):
    code = (f"import os, sys; os.chdir({str(ROOT)!r}); from pathlib import Path\n"
            "from tests.fuzz import sandbox, test_fuzz\n"
            f"Path({str(tmp_path / 'channel')!r}).write_bytes(bytes(sandbox.SIZE))\n"
            f"folder = Path({str(tmp_path / 'a' / 'b')!r}); folder.mkdir(parents=True)\n"
            "target = test_fuzz.targets.Target('t', None, test_fuzz.misbehaves, 1.0)\n"
            f"watch = sandbox.Watch(target, sandbox.Channel({str(tmp_path / 'channel')!r}), folder)\n"
            f"sys.addaudithook(watch.audit); watch.one(0, {data!r})")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (f'"kind": "{kind}"' in done.stdout) if kind else done.stdout == ""


@pytest.mark.parametrize(("body", "kind"), [("while True: pass", "hangs"), ("import os; os.abort()", "ends with -6")])
def test_that_a_reader_that_hangs_or_crashes_is_found(monkeypatch, body, kind):
    code = f"import sys\nfrom tests.fuzz import sandbox\nsandbox.Channel(sys.argv[6]).begin(0, b'x')\n{body}"
    monkeypatch.setattr(driver, "MOST_SECONDS", 1.0)
    monkeypatch.setattr(driver, "_command", lambda *arguments: [sys.executable, "-c", code, *arguments])
    tally = driver.fuzz(targets.BY_NAME["recipe"], "mutation", 1, "test")
    assert [finding["kind"] for finding in tally.findings] == [kind] and tally.inputs == 1


# -- the guard of HDF5 -----------------------------------------------------------------------------------


@pytest.fixture
def unremembered(monkeypatch):
    monkeypatch.setenv(guard.CACHE, "")
    monkeypatch.setattr(guard, "_known", set())
    monkeypatch.setattr(guard, "_sent", getattr(guard._sent, "apart", guard._sent))  # see tests/conftest.py


@pytest.mark.parametrize(("body", "says"), [
    ("while True: pass", "does not come to an end"), ("import os; os.abort()", "the HDF5 library fails"),
    ("x = bytearray(8 * 2**30)", "too much memory")])
def test_that_what_breaks_the_reading_process_is_refused_in_a_sentence(tmp_path, monkeypatch, unremembered, body, says):
    from core.model_io import inspect_model

    model = tmp_path / "model.keras"
    model.write_bytes(resources.path("models/jet_tagger.keras").read_bytes())
    code = ("import sys\nfrom core import guard\n"
            f"def walk(path):\n    {body}\n"
            "guard.walk = walk\nsys.exit(guard.main(*sys.argv[1:]))")
    monkeypatch.setattr(guard, "_command", lambda path, seconds: [sys.executable, "-c", code, str(path), "1"])
    with pytest.raises(ModelFileError, match=says):
        inspect_model(model)


def test_that_a_file_is_read_apart_once_and_a_bundled_one_never(tmp_path, monkeypatch):
    from core.model_io import inspect_model

    monkeypatch.setattr(guard, "_known", set())
    monkeypatch.setenv(guard.CACHE, str(tmp_path / "examined"))
    sent = []
    monkeypatch.setattr(guard, "_sent", lambda path: sent.append(path) or "")
    model = tmp_path / "model.keras"
    model.write_bytes(resources.path("models/jet_tagger.keras").read_bytes())
    for known in (True, False):
        inspect_model(model)
        inspect_model(resources.path("models/jet_tagger.keras"))
        if known:
            guard._known.clear()  # as in the next process
    assert sent == [model] and [path.name for path in (tmp_path / "examined").iterdir()] == [sha256_of(model)]


# -- what was found, and what must never come back -------------------------------------------------------


def test_that_hdf5_groups_in_a_circle_are_refused(tmp_path, unremembered):
    from core.model_io import inspect_model

    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}"
        group = file.create_group("a")
        for name in "bcdefgh":
            group[name] = group
    with pytest.raises(ModelFileError, match="linked to one another"):
        inspect_model(path)


def test_that_a_layer_that_asks_for_more_than_is_stored_is_refused_before_keras_builds_it(tmp_path, unremembered):
    import json

    from core.model_io import load_model

    members = targets.MEMBERS
    described = json.loads(members["config.json"])
    dense = next(layer for layer in described["config"]["layers"] if layer["config"]["name"] == "fc2")
    dense["config"]["units"] = 10**9
    path = tmp_path / "m.keras"
    path.write_bytes(targets._zipped({**members, "config.json": json.dumps(described).encode()}))
    with pytest.raises(ModelFileError, match="asks for"):
        load_model(path)


def test_that_half_a_character_is_no_name(tmp_path, unremembered):
    from core.dataset import load_dataset
    from core.model_io import inspect_model

    path = tmp_path / "m.keras"
    described = targets.MEMBERS["config.json"].replace(b'"fc1"', b'"\\udcf4"')
    path.write_bytes(targets._zipped({**targets.MEMBERS, "config.json": described}))
    with pytest.raises(ModelFileError, match="damaged"):
        inspect_model(path)
    path = tmp_path / "m.h5"
    path.write_bytes(targets.H5.replace(b"fc1/kernel:0", b"\xf4c1/kernel:0"))
    with pytest.raises(ModelFileError, match="damaged"):
        inspect_model(path)
    np.savez(tmp_path / "d.npz", X=np.zeros((30, 2)), y=np.array(["a", "\udcf4"] * 15))
    with pytest.raises(DatasetError):
        load_dataset(tmp_path / "d.npz")


def test_that_bombs_are_refused_before_memory_is_given(tmp_path):
    from core.dataset import load_dataset
    from core.npz import read_npz

    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("X.npy", "w") as file:
        for _ in range(1100):
            file.write(bytes(2**20))
    with pytest.raises(DatasetError, match="claims more memory"):
        load_dataset(bomb)
    with pytest.raises(ValueError, match="claims more memory"):
        read_npz(bomb)
    labels = tmp_path / "labels.npz"
    np.savez(labels, X=np.zeros((30, 2)), y=np.full(30, 2**40))
    with pytest.raises(DatasetError, match="has labels from"):
        load_dataset(labels)


def test_that_pipes_and_devices_are_not_waited_for(tmp_path):
    from core.dataset import load_dataset
    from core.model_io import inspect_model
    from core.quant.recipe import Recipe

    for name, read in (("m.keras", inspect_model), ("d.npz", load_dataset), ("r.json", Recipe.load)):
        path = tmp_path / name
        os.mkfifo(path)
        with pytest.raises(QuantiscopeError) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_that_a_long_text_is_no_quantizer_and_errors_stay_short():
    from core.quant.spec import parse

    with pytest.raises(QuantizerError) as caught:
        parse("quantized_bits(" + "(" * 10**6)
    assert len(str(caught.value)) < 500
    assert len(str(QuantiscopeError("x" * 10**6, "y\n" * 10))) < 2000
    assert "\n" not in str(QuantiscopeError("what", "a\nb"))


@pytest.mark.parametrize("multiplier", [float("inf"), 1e308, -1.0, 0.0])
def test_that_a_multiplier_without_measure_is_out_of_range(multiplier):
    from core.model_io import inspect_model
    from core.quant.recipe import LayerRecipe, Recipe

    recipe = Recipe(layers={"fc1": LayerRecipe(units_multiplier=multiplier)})
    with pytest.raises(RecipeError, match="out of range"):
        recipe.check(inspect_model(resources.path("models/jet_tagger.keras")))


def test_that_symmetric_is_zero_or_one():
    from core.quant.spec import parse

    assert parse("quantized_bits(4,0,True)") == parse("quantized_bits(4,0,1)")
    for text in ("quantized_bits(4,0,'auto')", "quantized_bits(4,0,7)"):
        with pytest.raises(QuantizerError, match="symmetric"):
            parse(text)


def test_that_counts_without_measure_and_short_rows_of_tools_are_refused(tmp_path):
    from core.errors import ToolFailedError
    from core.hls.reports_other import smarthls
    from core.hls.yosys import read_stat
    from tests.core.hls.report_texts import SMARTHLS

    path = tmp_path / "report"
    path.write_text('{"design": {"num_cells_by_type": {"LUT2": 1e999}}}')
    with pytest.raises(ToolFailedError, match="cannot be read"):
        read_stat(path)
    start = SMARTHLS.index("2. Timing Result")
    end = SMARTHLS.index("3. Resource Usage")
    cut = "".join("|".join(line.split("|")[:3]) + "\n" for line in SMARTHLS[start:end].splitlines())
    path.write_text(SMARTHLS[:start] + cut + SMARTHLS[end:])
    assert "clock_ns" not in smarthls(path)


def test_that_no_program_is_started_through_a_shell():
    import ast

    found = []
    for path in [*(ROOT / "app").rglob("*.py"), *(ROOT / "core").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                shell = any(k.arg == "shell" and ast.unparse(k.value) != "False" for k in node.keywords)
                if shell or name in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"):
                    found.append(f"{path.name}:{node.lineno} {name}")
    assert found == []
