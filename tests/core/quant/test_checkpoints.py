"""A training that is killed or stopped and started again ends with the weights of one that was left alone."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from core.errors import Cancelled
from core.events import LogLine, Monitor, Progress
from core.model_io import describe_model
from core.quant import checkpoints, quantize, uniform
from core.quant.pruning import Pruning
from core.quant.training import TrainOptions, train
from tests.core.quant.small import dataset, network

ROOT = Path(__file__).parents[3]
DATA = dataset(1200)
#: everything that has a state: random quantizer, dropout, masks, optimizer, best epoch
OPTIONS = TrainOptions(epochs=8, batch_size=64, learning_rate=0.01, pruning=Pruning({"second": 0.5}), seed=3)


def model():
    plain = network(dropout=0.1)
    recipe = uniform(describe_model(plain), 5, 1)
    return quantize(plain, recipe.with_quantizer("first", "kernel", "quantized_bits(5,1,alpha=1,"
                                                 "use_stochastic_rounding=True)"))


def same(found, expected) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def reference():
    """Weights and history of the training that nothing interrupts."""
    whole = model()
    history = train(whole, DATA, OPTIONS)
    return whole.get_weights(), history


SCRIPT = """
import sys, time
from pathlib import Path
import numpy as np
from core.events import Monitor, Progress
from core.quant import checkpoints
from tests.core.quant.test_checkpoints import DATA, OPTIONS, model
from core.quant.training import train
checkpoints.EVERY_S = 0.0
def emit(event):
    if isinstance(event, Progress):
        print("epoch", int(event.done), flush=True)
        time.sleep(0.1)
trained = model()
train(trained, DATA, OPTIONS, Monitor(emit), Path(sys.argv[1]))
np.savez(sys.argv[2], *trained.get_weights())
"""


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, reference) -> None:
    checkpoint = tmp_path / "checkpoints" / "training.npz"
    command = [sys.executable, "-c", SCRIPT, str(checkpoint), str(tmp_path / "weights.npz")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    for line in process.stdout:
        if line == "epoch 4\n":
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "weights.npz").exists() and checkpoint.is_file()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    epochs = [int(line.split()[1]) for line in done.stdout.splitlines()]
    assert epochs[0] in (4, 5) and epochs[-1] == OPTIONS.epochs  # the kill may come before the fourth was written
    with np.load(tmp_path / "weights.npz") as found:
        same([found[name] for name in found.files], reference[0])


def stop_after(epochs: int, lines: list[str] | None = None) -> Monitor:
    done = [0]

    def emit(event) -> None:
        if isinstance(event, Progress):
            done[0] += 1
        elif isinstance(event, LogLine) and lines is not None:
            lines.append(event.text)

    return Monitor(emit, cancelled=lambda: done[0] >= epochs)


def test_a_stopped_training_goes_on_where_it_was_stopped(tmp_path, reference) -> None:
    path, lines = tmp_path / "training.npz", []
    for epochs in (3, 2):  # stopped twice
        with pytest.raises(Cancelled):
            train(model(), DATA, OPTIONS, stop_after(epochs, lines), path)
    ended = model()
    history = train(ended, DATA, OPTIONS, stop_after(100, lines), path)
    same(ended.get_weights(), reference[0])
    assert history == reference[1]
    assert [line for line in lines if "epoch 3" in line] and [line for line in lines if "epoch 5" in line]


def test_a_checkpoint_of_another_training_or_a_torn_one_is_not_continued(tmp_path, reference) -> None:
    path = tmp_path / "training.npz"
    with pytest.raises(Cancelled):
        train(model(), DATA, OPTIONS, stop_after(2), path)
    good = path.read_bytes()
    for options, data in ((dataclasses.replace(OPTIONS, learning_rate=0.02, epochs=1), DATA),
                          (dataclasses.replace(OPTIONS, epochs=1), dataset(1200, seed=9))):
        path.write_bytes(good)
        history = train(model(), data, options, None, path)
        assert len(history.training_loss) == 1
    for bad in (good[: len(good) // 2], b"", b"not an archive"):
        path.write_bytes(bad)
        lines: list[str] = []
        with pytest.raises(Cancelled):
            train(model(), DATA, OPTIONS, stop_after(1, lines), path)
        assert [line for line in lines if "cannot be read" in line]


def test_a_checkpoint_that_cannot_be_written_is_said_once(tmp_path, reference, monkeypatch) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)
    (tmp_path / "file").write_text("in the way")
    lines: list[str] = []
    ended = model()
    train(ended, DATA, OPTIONS, stop_after(100, lines), tmp_path / "file" / "training.npz")
    same(ended.get_weights(), reference[0])
    assert len([line for line in lines if "no checkpoint" in line]) == 1


def test_checkpoints_are_written_only_every_so_often(tmp_path, monkeypatch) -> None:
    writes = []
    monkeypatch.setattr(checkpoints, "write_atomically", lambda path, data: writes.append(time.monotonic()))
    train(model(), DATA, dataclasses.replace(OPTIONS, epochs=6), None, tmp_path / "training.npz")
    assert len(writes) <= 1
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)
    train(model(), DATA, dataclasses.replace(OPTIONS, epochs=6), None, tmp_path / "training.npz")
    assert len(writes) >= 6
