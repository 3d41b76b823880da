"""An export by a worker of a cluster: the same project and proof as here, in the project that asked for it."""

from __future__ import annotations

import shutil

import pytest

import resources
from core import workflows
from core.cluster_options import ClusterOptions
from core.events import LogLine, Monitor, Stage
from core.hls.tools import find_tool
from core.project import Project
from core.quant.recipe import uniform
from core.requests import Export, Train
from tests.core.search.test_cluster import scheduler, start  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.slow
def test_an_export_on_a_cluster_is_the_export_made_here(tmp_path, scheduler, start):  # noqa: F811
    with Project.create(tmp_path / "p", resources.path("models/jet_tagger.keras"), "jets") as project:
        recipe = uniform(project.info, 5)
    here, there = tmp_path / "p.qscope", tmp_path / "q.qscope"
    workflows.run(Train(project=str(here), recipe=recipe, epochs=1))
    shutil.copytree(here, there)
    events = []
    start()
    asked = Export(project=str(there), candidate_id="c0001", flow="rtl", events=50, synthesize=False,
                   cluster=ClusterOptions(scheduler=scheduler.scheduler_address))
    far = workflows.run(asked, Monitor(events.append))
    near = workflows.run(Export(project=str(here), candidate_id="c0001", flow="rtl", events=50, synthesize=False))
    assert find_tool("verilator") is not None
    assert far.exactness.mismatches == near.exactness.mismatches == 0
    assert far.exactness.flows["rtl"].values == near.exactness.flows["rtl"].values > 0
    assert far.directory == str(there / "exports" / "c0001-rtl")
    listed = [{path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.v"))}
              for folder in (there / "exports" / "c0001-rtl", here / "exports" / "c0001-rtl")]
    assert listed[0] == listed[1] and listed[0]
    with Project.open(there) as project:
        assert [report.directory for report in project.exports()] == [far.directory]
    assert Stage("load") in events
    assert "workers do not see our files; they are sent" not in [e.text for e in events if isinstance(e, LogLine)]
