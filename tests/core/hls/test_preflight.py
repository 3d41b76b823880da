"""What an export would meet, found before anything is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import msgspec
import pytest

from core.hls.hls4ml_options import Hls4mlOptions
from core.hls.preflight import FAIL, OK, WARN, Finding, preflight, worst
from core.hls.rtl_options import RtlOptions
from core.quant import Recipe, quantize
from core.quant.recipe import LayerRecipe
from core.requests import Export

ASKED = Export(project="", candidate_id="c0001")


def _about(found: list[Finding], subject: str, state: str | None = None) -> list[Finding]:
    return [one for one in found if one.subject == subject and state in (None, one.state)]


def _model(width: int = 4, kernel: str = "quantized_bits(4,0,alpha=1)") -> keras.Model:
    x = keras.Input((width,), name="x")
    model = keras.Model(x, keras.layers.Dense(
        width, use_bias=False, kernel_initializer=keras.initializers.RandomUniform(0.5, 0.9, 1), name="fc")(x))
    return quantize(model, Recipe(layers={"fc": LayerRecipe(quantizers={"kernel": kernel})},
                                  input="quantized_bits(6,2,alpha=1)"))


def test_an_export_that_can_be_made_names_tools_part_events_and_precision(tmp_path: Path) -> None:
    found = preflight(ASKED, _model(), 20_000, tmp_path / "exports" / "not-there")
    assert worst(found) == OK and not (tmp_path / "exports").exists()
    told = " ".join(one.what for one in _about(found, "tool"))
    assert all(name in told for name in ("hls4ml 1.3.0", "verilator 5.", "alkaid 0.8.2", "yosys 0.", "Vitis HLS"))
    assert _about(found, "events")[0].what == "proved on 10,000 of 20,000 test events"
    assert "16 products" in _about(found, "network")[0].what and "16 products" in _about(found, "unrolling")[0].what
    assert {one.subject for one in found} >= {"part", "disk", "memory", "precision"}


@pytest.mark.parametrize(("change", "subject", "remedy"), [
    ({"part": "xc0"}, "part", "Choose one of"), ({"flow": "paper"}, "settings", "hls4ml, rtl or both"),
    ({"clock_ns": 0.1}, "settings", "0.5 to 1000"), ({"rtl": RtlOptions(depth_limit=99)}, "settings", "adder levels"),
    ({"hls4ml": Hls4mlOptions(backend="Libero")}, "settings", "Vitis"), ({"events": -1}, "events", "at least one"),
])
def test_what_cannot_be_made_fails_with_a_remedy(change: dict[str, object], subject: str, remedy: str) -> None:
    found = preflight(msgspec.structs.replace(ASKED, **change), events=100)
    assert worst(found) == FAIL
    assert remedy in _about(found, subject, FAIL)[0].remedy


def test_tools_that_are_missing_fail_and_say_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = _about(preflight(ASKED), "tool", FAIL)
    assert [one.what.split()[0] for one in found] == ["g++", "perl", "make"]
    assert all("apt-get install" in one.remedy for one in found)
    vhdl = preflight(msgspec.structs.replace(ASKED, flow="rtl", rtl=RtlOptions(language="vhdl")))
    assert "Verilog of the same logic" in _about(vhdl, "tool", WARN)[0].what


def test_few_events_an_unrunnable_backend_and_a_fast_clock_are_warned_of() -> None:
    few = preflight(msgspec.structs.replace(ASKED, events=500, clock_ns=1.0), events=3000)
    assert _about(few, "events", WARN)[0].remedy == "Use 3,000 or more" and _about(few, "settings", WARN)
    silent = preflight(msgspec.structs.replace(ASKED, hls4ml=Hls4mlOptions(backend="oneAPI")))
    assert "nothing will be compared" in _about(silent, "tool", WARN)[0].what


def test_a_network_too_large_for_the_part_or_for_unrolling_is_told_without_tracing_it() -> None:
    small = msgspec.structs.replace(ASKED, part="xc7z020clg400-1")
    found = preflight(small, _model(80, "quantized_bits(8,0,alpha=1)"), 100)
    assert "too large to be unrolled" in _about(found, "network", FAIL)[0].what
    assert "4096" in _about(found, "unrolling", WARN)[0].what and "reuse" in _about(found, "unrolling", WARN)[0].remedy
    refused = preflight(ASKED, _model(kernel="bernoulli(alpha=1)"), 100)
    assert "bernoulli" in _about(refused, "network", FAIL)[0].what


def test_without_a_model_neither_keras_nor_tensorflow_is_imported() -> None:
    code = ("import sys; from core.hls.preflight import preflight; from core.requests import Export;"
            "preflight(Export(project='', candidate_id='c0001'));"
            "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow', 'hls4ml', 'alkaid')))")
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
