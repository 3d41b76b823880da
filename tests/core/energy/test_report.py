"""Reports hold what was priced, and can be read back."""

import csv
import io
import json
import xml.etree.ElementTree as ElementTree

import pytest

from core.energy import preset, price, report
from core.energy.accumulator import AccumulatorCheck
from core.energy.published import PUBLISHED
from core.errors import CostError


@pytest.fixture
def six():
    return price(*PUBLISHED["Q6"], preset("published"))


@pytest.fixture
def baseline():
    return price(*PUBLISHED["BF"], preset("published"))


def test_json_holds_rows_parts_and_shares(six, baseline):
    found = json.loads(report.as_json(six, baseline))
    assert found["totals"]["total_pj"] == 2633
    assert found["relative"]["parameter_bits"] == pytest.approx(26334 / 61446)
    assert [layer["name"] for layer in found["layers"]] == [row.name for row in six.rows]
    assert found["parts"]["profile_pj"] == pytest.approx(sum(layer["profile_pj"] for layer in found["layers"]))
    first = found["layers"][0]
    assert (first["implementation"], first["weight_bits"], first["accumulator_bits"]) == ("mul", 6, 27)
    assert first["formats"]["weight"] == "quantized_bits<6,0>"
    assert found["settings"]["compat"] == "qtools-0.9"


def test_csv_has_a_line_a_layer_and_totals(six):
    lines = list(csv.DictReader(io.StringIO(report.as_csv(six))))
    assert [line["name"] for line in lines] == [*(row.name for row in six.rows), "total"]
    assert float(lines[-1]["profile_pj"]) == pytest.approx(six.energy_pj)
    assert float(lines[0]["op_pj"]) == 391.25
    assert lines[1]["weight_bits"] == ""


def test_html_is_well_formed_and_escapes_names(baseline):
    info, recipe = PUBLISHED["Q6"]
    page = report.as_html(price(info, recipe.renamed("<b>&"), preset("published")), baseline)
    root = ElementTree.fromstring(page.replace("<!doctype html>", "").replace('<meta charset="utf-8">', ""))
    assert root.find("body/h1").text == "Cost of <b>&"
    cells = root.findall("body/table/tbody/tr")
    assert len(cells) == len(info.layers) - 1
    assert "42.9%" in "".join(root.find("body").itertext())


def test_different_settings_are_not_compared(six):
    other = price(*PUBLISHED["BF"], preset("corrected"))
    with pytest.raises(CostError, match="different settings"):
        report.as_dict(six, other)


def test_accumulators_are_told(six):
    checks = [
        AccumulatorCheck(name="fc", class_name="Dense", sum="accumulator", given_bits=8, given_integer=2,
                         needed_bits=7, needed_integer=3),
        AccumulatorCheck(name="out", class_name="Dense", sum="accumulator", given_bits=8, given_integer=4,
                         needed_bits=6, needed_integer=1, source="weights")]
    found = json.loads(report.as_json(six, accumulators=checks))["accumulators"]
    assert [(one["overflow"], one["missing_bits"], one["spare_bits"]) for one in found] == [(True, 1, 0), (False, 0, 3)]
    assert found[1]["lost_fraction"] == 1  # 4 bits behind the point, 3 given
    page = report.as_html(six, accumulators=checks)
    root = ElementTree.fromstring(page.replace("<!doctype html>", "").replace('<meta charset="utf-8">', ""))
    verdicts = [line.findall("td")[-1].text for line in root.findall("body/table")[1].findall("tbody/tr")]
    assert verdicts == ["overflows, 1 bits missing", "holds, 3 bits spare, 1 bits behind the point lost"]
