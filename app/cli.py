"""Every action without a window: `quantiscope inspect | cost | evaluate | train | search | export | ...`.

With --json a command writes exactly one JSON object to stdout; logs go to stderr. The exit code is 0, or
1 with one sentence on stderr (and {"error": ...} on stdout with --json). Qt is imported to open the window only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from app import cli_firmware, console
from app.cli_cluster import on_cluster
from core import requests
from core.cluster_options import ClusterOptions
from core.errors import ProjectError, QuantiscopeError, RecipeError
from core.model_io import inspect_model
from core.quant.recipe import Recipe, uniform
from core.search.methods import METHODS

cli = typer.Typer(name="quantiscope", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="From a trained Keras model to trigger firmware, with every trade-off visible.")

Json = Annotated[bool, typer.Option("--json", help="Write one JSON object to stdout.")]
JsonLines = Annotated[bool, typer.Option(
    "--json-lines", help="Write one JSON object a line to stdout for each event, the result last.")]
Data = Annotated[str, typer.Option("--data", help="A dataset file, or a bundled set: jets, family:deep_sets ...")]
RecipeFile = Annotated[Path | None, typer.Option("--recipe", help="A recipe file (JSON).")]
Bits = Annotated[int | None, typer.Option("--bits", help="Instead of a recipe: the same width everywhere.")]
Seed = Annotated[int, typer.Option(help="Of everything random.")]
ProjectFolder = Annotated[Path, typer.Argument(help="A project folder (name.qscope).")]
CandidateId = Annotated[str, typer.Argument(help="The candidate's id, such as c0003.")]
Part = Annotated[str, typer.Option(help="The FPGA part.")]
Clock = Annotated[float, typer.Option("--clock", help="Clock period in ns.")]
Hls4ml = Annotated[list[str] | None, typer.Option(
    "--hls4ml", help="A setting of the hls4ml flow, such as backend=Vivado, io_type=io_stream, strategy=Resource,"
                     " reuse_factor=4, reuse_factor.LAYER=8 or softmax=argmax; repeat.")]
Rtl = Annotated[list[str] | None, typer.Option(
    "--rtl", help="A setting of the RTL flow: language=vhdl, ternary_adders=no, depth_limit=4, stage_ns=3.5, stages=8"
                  " or fast_solver=yes; repeat.")]
Events = Annotated[int, typer.Option(help="Test events for the bit-exactness check; 0: all.")]
#: no cluster
_HERE = ClusterOptions()
#: below the help of `search`
METHOD_LINES = "Methods:\n\n" + "\n\n".join(f"{key}: {method.summary}." for key, method in METHODS.items())


@cli.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Say the version and stop.")] = False,
          verbose: Annotated[bool, typer.Option("--verbose", help="Show every line of every tool.")] = False) -> None:
    if verbose:
        os.environ[console.VERBOSE] = "1"
    if version:
        import core

        typer.echo(f"quantiscope {core.__version__}")
        raise typer.Exit


@cli.command()
def inspect(model: Annotated[Path, typer.Argument(help="A .keras or .h5 file, or a project folder.")],
            json: Json = False) -> None:
    """List a model's layers: class, shapes, parameters, multiply-accumulates, weight ranges."""
    with console.output(json) as out:
        info = _info_of(model)
        out.result(info, lambda: console.layer_table(info))


@cli.command()
def cost(model: Annotated[Path | None, typer.Argument(help="A model or project; none: the published networks.")] = None,
         recipe: RecipeFile = None, bits: Bits = None,
         compat: Annotated[str, typer.Option(help="qtools-0.9 counts as the original does.")] = "qtools-0.9",
         json: Json = False) -> None:
    """Energy in pJ (QTools' 45 nm model) and bits, layer by layer."""
    with console.output(json) as out:
        from app.costs import cost_of, published_costs

        if model is None:
            if recipe is not None or bits is not None:
                raise RecipeError("a recipe needs a model to be priced on", remedy="Name the model file first")
            found = published_costs(compat)
        else:
            info = _info_of(model)
            found = cost_of(info, _recipe(info, recipe, bits, _project_recipe(model)), compat)
        out.result(found, lambda: console.cost_table(found))


@cli.command()
def estimate(model: Annotated[Path, typer.Argument(help="A model file, or a project folder.")],
             recipe: RecipeFile = None, bits: Bits = None,
             strategy: Annotated[str, typer.Option(help="Of hls4ml: latency or resource.")] = "latency",
             reuse: Annotated[int, typer.Option(help="Products that share a multiplier.")] = 1,
             clock: Annotated[float, typer.Option(help="Clock period in ns.")] = 5.0, json: Json = False) -> None:
    """DSP, LUT, adder depth and accumulator widths, estimated before any tool has run."""
    with console.output(json) as out:
        from app.estimates import estimates_of
        from core.model_io import read_weights
        from core.project import Project

        info = _info_of(model)
        chosen = _recipe(info, recipe, bits, _project_recipe(model))
        if chosen is None:
            raise RecipeError("an estimate needs quantizers", remedy="Give --bits N or --recipe FILE")
        path = model
        if model.is_dir():
            with Project.open(model) as project:
                path = project.model_path
        found = estimates_of(info, chosen, read_weights(path), strategy, reuse, clock)
        out.result(found, lambda: console.estimate_table(found))


@cli.command()
def evaluate(model: Annotated[Path, typer.Argument(help="A model file, or a project folder with --candidate.")],
             data: Data = "jets", recipe: RecipeFile = None, bits: Bits = None,
             candidate: Annotated[str, typer.Option(help="Evaluate this candidate of the project again.")] = "",
             events: Annotated[int | None, typer.Option(help="Use this many test events.")] = None,
             json: Json = False) -> None:
    """Accuracy, ROC and AUC on the test events; in float unless a recipe or a width is given."""
    with console.output(json) as out:
        from core.project import Project

        weights = ""
        if model.is_dir():
            with Project.open(model) as project:
                chosen = _recipe(project.info, recipe, bits, None)
                if candidate:
                    chosen, weights = project.candidate(candidate).recipe, str(project.weights_path(candidate))
                request = requests.Evaluate(model=str(project.model_path), data=project.data_reference,
                                            recipe=chosen, weights=weights, events=events)
        elif candidate:
            raise ProjectError("a candidate belongs to a project", remedy="Name the project folder, not the model")
        else:
            request = requests.Evaluate(model=str(model), data=data, events=events,
                                        recipe=_recipe(inspect_model(model), recipe, bits, None))
        evaluation = console.run(request, out)
        out.result(evaluation, lambda: console.evaluation_table(evaluation))


@cli.command()
def train(project: ProjectFolder, recipe: RecipeFile = None, bits: Bits = None, epochs: int = 10,
          learning_rate: float = 1e-3, batch_size: int = 1024, seed: Seed = 0,
          schedule: Annotated[str, typer.Option(help="Learning rate: cosine, constant or exponential.")] = "cosine",
          warmup: Annotated[float, typer.Option(help="Share of the training in which the rate rises first.")] = 0.0,
          patience: Annotated[int, typer.Option(help="Stop after so many epochs that are no better; 0: never.")] = 0,
          freeze: Annotated[list[str] | None, typer.Option(help="A layer not to train, or a pattern; repeat.")] = None,
          pruning: Annotated[str, typer.Option(
              help="How the recipe's sparsity is reached: polynomial or constant.")] = "polynomial",
          noise_until: Annotated[float, typer.Option(
              help="Let quantization in by and by, until this share of the training.")] = 0.0,
          loss: Annotated[str, typer.Option(
              help="compiled, or a Keras loss; by default that of the dataset's task.")] = "",
          model: Annotated[Path | None, typer.Option(help="Make the project from this model.")] = None,
          data: Data = "jets", json: Json = False) -> None:
    """Quantization-aware training of one recipe, stored as a candidate."""
    with console.output(json) as out:
        from core.project import Project

        folder = _ensure_project(project, model, data)
        with Project.open(folder) as opened:
            chosen = _recipe(opened.info, recipe, bits, opened.recipe)
        candidate = console.run(requests.Train(project=str(folder), recipe=chosen, epochs=epochs, seed=seed,
                                               learning_rate=learning_rate, batch_size=batch_size,
                                               schedule=schedule, warmup=warmup, patience=patience,
                                               freeze=freeze or [], pruning=pruning, noise_until=noise_until,
                                               loss=loss), out)
        out.result(candidate, lambda: console.candidate_table([candidate]))


@cli.command(epilog=METHOD_LINES)
@on_cluster
def search(project: ProjectFolder,
           method: Annotated[str, typer.Option(help="How candidates are found; listed below.")] = "staged",
           trials: Annotated[int | None, typer.Option(help="Stop after this many candidates.")] = None,
           seconds: Annotated[float | None, typer.Option(help="Stop after this many seconds.")] = None,
           epochs: Annotated[int | None, typer.Option(
               help="Passes over the training events for each candidate; gradient: of the whole search. None: 3, or"
                    " 128 for gradient.")] = None,
           seed: Seed = 0,
           objective: Annotated[list[str] | None, typer.Option(
               help="accuracy, mean_auc, energy_pj, ebops, lut ... or score(accuracy, energy_pj, delta_p=8, rate=2);"
                    " repeat. None: accuracy and energy_pj.")] = None,
           constraint: Annotated[list[str] | None, typer.Option(
               help="accuracy>=0.75, lut<=5000, latency_ns<=100 ...; repeat.")] = None,
           workers: Annotated[int, typer.Option(help="Processes that train; 0: one a core.")] = 0,
           memory: Annotated[float, typer.Option(help="GB that they may take together; 0: no limit.")] = 0.0,
           way: Annotated[str, typer.Option(help="Compile by xla or graph; by default the faster.")] = "",
           option: Annotated[list[str] | None, typer.Option(
               help="kernel=quantized_bits(4,alpha=1): a quantizer to choose from; repeat. None: the default space."),
           ] = None,
           units: Annotated[list[float] | None, typer.Option(
               help="A multiplier of units or filters to choose from, such as 0.5; repeat.")] = None,
           tune_units: Annotated[str, typer.Option(help="layer: each its own multiplier; block: one.")] = "layer",
           keep_units: Annotated[str, typer.Option(help="Layers whose name matches this keep their units.")] = "",
           sparsity: Annotated[list[float] | None, typer.Option(
               help="A share of zeros to choose from, such as 0.5; repeat.")] = None,
           block: Annotated[list[str] | None, typer.Option(
               help="For blocks and blocks_cost: a pattern of layer names; repeat. None: each layer.")] = None,
           freeze: Annotated[list[str] | None, typer.Option(help="A layer to leave as it is; repeat.")] = None,
           widths: Annotated[str, typer.Option(
               help="For gradient: one trained width a tensor, channel or weight.")] = "weight",
           autoqkeras: Annotated[Path | None, typer.Option(
               help="A file with AutoQKeras's quantization_config and limit; takes the place of --option.")] = None,
           storage: Annotated[str, typer.Option(
               envvar="QUANTISCOPE_STORAGE", show_envvar=True,
               help="URL of a database for the study, such as postgresql://USER@HOST/NAME; by default a file in the"
                    " project. Its password is not stored: give it again, or by PGPASSWORD or ~/.pgpass.")] = "",
           resume: Annotated[bool, typer.Option(
               "--resume", help="Go on with a project that is there; never make one.")] = False,
           model: Annotated[Path | None, typer.Option(help="Make the project from this model.")] = None,
           data: Data = "jets", json: Json = False, json_lines: JsonLines = False,
           cluster: ClusterOptions = _HERE) -> None:
    """Search for the Pareto front of accuracy against energy, or any other goal; goes on where it ended before."""
    with console.output(json, json_lines) as out:
        from core.search.autoqkeras import read_file
        from core.search.methods import METHODS, Method

        known = METHODS.get(method, Method(method, method, ""))  # an unknown one is refused by the search
        if trials is None and seconds is None and known.needs_budget:
            trials = 20
        config, limit = read_file(autoqkeras) if autoqkeras else ({}, {})
        if resume and model is not None:
            raise ProjectError("a search cannot both go on and begin", remedy="Give --resume or --model")
        folder = _ensure_project(project, model, data)
        request = requests.Search(
            project=str(folder), method=method, trials=trials, seconds=seconds,
            epochs=known.epochs if epochs is None else epochs, seed=seed, granularity=widths,
            options=_options(option or []), frozen=freeze or [], quantization_config=config, limit=limit,
            units=units or [], sparsity=sparsity or [], tune_units=tune_units, exceptions=keep_units,
            blocks=block or [], objectives=objective or [], constraints=constraint or [], workers=workers,
            memory_gb=memory, way=way, cluster=cluster, storage=storage)
        _tell_search(request, console.run(request, out), out)


def _tell_search(request: requests.Search, added: list[str], out: Any) -> None:
    """The front after a search: of accuracy against energy, or by the goal it had."""
    from app.report import front_points, goal_points
    from core.project import Project
    from core.search.objectives import Goal

    with Project.open(request.project) as opened:
        candidates = opened.candidates()
        goal = Goal.of(request.objectives, request.constraints).resolved(opened.info)
    front = front_points(candidates)
    found = {"project": request.project, "added": added, "candidates": len(candidates), "front": front}
    if goal == Goal.of():
        out.result(found, lambda: console.front_table(front))
    else:
        points = goal_points(candidates, goal)
        out.result({**found, "goal": points}, lambda: console.goal_table(points))


@cli.command()
def study(project: ProjectFolder,
          objective: Annotated[list[str] | None, typer.Option(help="As of search; repeat.")] = None,
          constraint: Annotated[list[str] | None, typer.Option(help="As of search; repeat.")] = None,
          reference: Annotated[list[float] | None, typer.Option(
              help="One number an objective, where volumes begin; by default 0 and the cost of 8 bits.")] = None,
          json: Json = False) -> None:
    """What the searches of a project came to: front, its hypervolume, and how much each choice mattered."""
    with console.output(json) as out:
        from app.report import study_report
        from core.project import Project
        from core.search.objectives import Goal

        with Project.open(project) as opened:
            goal = Goal.of(objective or [], constraint or []).resolved(opened.info)
            found = study_report(opened.candidates(), goal, opened.info, reference)
        out.result(found, lambda: console.study_table(found))


@cli.command()
@on_cluster
def export(project: ProjectFolder, candidate: CandidateId,
           flow: Annotated[str, typer.Option(help="hls4ml, rtl or both.")] = "both",
           part: Part = "xcvu9p-flgb2104-2L-e", clock: Clock = 5.0, events: Events = requests.EVENTS,
           synthesize: Annotated[bool, typer.Option(help="Synthesize too.")] = False, hls4ml: Hls4ml = None,
           rtl: Rtl = None, dry_run: Annotated[bool, typer.Option(
               "--dry-run", help="Write nothing: say what the export would meet (tools, part, memory, precision).")
           ] = False,
           as_script: Annotated[Path | None, typer.Option(
               help="Write no firmware, but this Python script, which makes the candidate again.")] = None,
           json: Json = False, cluster: ClusterOptions = _HERE) -> None:
    """Write a candidate's firmware project and prove that it computes the same, bit by bit."""
    if as_script is not None:
        cli_firmware.write_script(project, candidate, as_script, json)
        return
    asked = _export_request(project, candidate, flow, part, clock, events, synthesize, hls4ml, rtl, cluster)
    if dry_run:
        cli_firmware.preflight(asked, json)
    else:
        cli_firmware.export_candidate(asked, json)


@cli.command()
def precision(project: ProjectFolder, candidate: CandidateId, part: Part = "xcvu9p-flgb2104-2L-e", clock: Clock = 5.0,
              hls4ml: Hls4ml = None, json: Json = False) -> None:
    """The type of every tensor and accumulator that hls4ml would make, and what to beware of; writes nothing."""
    with console.output(json) as out:
        from core.hls.hls4ml_options import parse_options

        report = console.run(requests.ListPrecision(project=str(project), candidate_id=candidate, part=part,
                                                    clock_ns=clock, hls4ml=parse_options(hls4ml or [])), out)
        out.result(report, lambda: console.precision_table(report))


def _export_request(project: Path, candidate: str, flow: str, part: str, clock: float, events: int, synthesize: bool,
                    hls4ml: list[str] | None, rtl: list[str] | None, cluster: ClusterOptions) -> requests.Export:
    from core.hls import hls4ml_options, rtl_options

    return requests.Export(project=str(project), candidate_id=candidate, flow=flow, part=part, clock_ns=clock,
                           events=events, synthesize=synthesize, hls4ml=hls4ml_options.parse_options(hls4ml or []),
                           rtl=rtl_options.parse_options(rtl or []), cluster=cluster)


@cli.command()
def demo(headless: Annotated[bool, typer.Option("--headless", help="Do the whole job without a window.")] = False,
         out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo-out"),
         budget: Annotated[float, typer.Option(help="Seconds for the search.")] = 60.0,
         epochs: Annotated[int, typer.Option(help="Training epochs for each candidate.")] = 3,
         events: Events = requests.EVENTS, seed: Seed = 0, json: Json = False) -> None:
    """The main job on the bundled jet tagger: search, choose, export, prove, synthesize."""
    if not headless:
        _open_window(demo=True)
        return
    with console.output(json) as output:
        from app.demo import run_demo

        report = run_demo(out, budget, output.monitor(), epochs=epochs, events=events, seed=seed)
        output.result(report, lambda: console.demo_table(report))


@cli.command()
def verify(project: ProjectFolder,
           candidate: Annotated[list[str] | None, typer.Option(help="A candidate's id; repeat. None: all.")] = None,
           front: Annotated[bool, typer.Option("--front", help="Those of the Pareto front.")] = False,
           json: Json = False) -> None:
    """Compute candidates again from their weights and recipes; exit code 1 where metrics or costs disagree."""
    with console.output(json) as out:
        found = console.run(requests.Verify(project=str(project), candidates=candidate or [], front=front), out)
        out.result(found, lambda: console.verification_table(found))
        wrong = [verdict for verdict in found.candidates if not verdict.agrees]
        if wrong:
            first = wrong[0].differences[0]
            print(f"{len(wrong)} of {len(found.candidates)} candidates disagree with what is stored, first"
                  f" {wrong[0].candidate_id}: {first.figure} is {first.found}, stored is {first.stored}.",
                  file=sys.stderr)
            raise typer.Exit(1)


@cli.command()
def gui(project: Annotated[Path | None, typer.Argument(help="A project folder to open.")] = None) -> None:
    """Open the window."""
    _open_window(project=project)


def _open_window(project: Path | None = None, demo: bool = False) -> None:
    with console.output(False):
        try:
            from app.application import run_gui
        except ImportError as error:
            raise QuantiscopeError("the window cannot be opened", str(error),
                                   "Install it by: pip install 'quantiscope[gui]'; every other command works without"
                                   ) from None
    code = run_gui(project=project, demo=demo)
    if code:
        raise typer.Exit(code)


# -- reading what the user gave ------------------------------------------------------------------------


def _info_of(model: Path) -> Any:
    if model.is_dir():
        from core.project import Project

        with Project.open(model) as project:
            return project.info
    return inspect_model(model)


def _project_recipe(model: Path) -> Recipe | None:
    if not model.is_dir():
        return None
    from core.project import Project

    with Project.open(model) as project:
        return project.recipe


def _recipe(info: Any, file: Path | None, bits: int | None, default: Recipe | None) -> Recipe | None:
    """The recipe a command is to use; raises RecipeError where two are given or it does not fit."""
    if file is not None and bits is not None:
        raise RecipeError("a recipe and a width were given", remedy="Give --recipe or --bits")
    recipe = Recipe.load(file) if file is not None else uniform(info, bits) if bits is not None else default
    if recipe is not None:
        recipe.check(info)
    return recipe


def _options(texts: list[str]) -> dict[str, list[str]]:
    """ "kernel=ternary" ... by parameter type."""
    options: dict[str, list[str]] = {}
    for text in texts:
        parameter, sign, quantizer = text.partition("=")
        if not sign or "(" in parameter:
            raise QuantiscopeError(f"{text!r} does not say for what", remedy="Write kernel=quantized_bits(4,alpha=1)")
        options.setdefault(parameter.strip(), []).append(quantizer.strip())
    return options


def _ensure_project(folder: Path, model: Path | None, data: str) -> Path:
    """The project folder; made from `model` when it is not there yet."""
    from core.workflows import create_project

    if folder.exists() or model is None:
        if model is not None:
            raise ProjectError(f"{folder} exists already", remedy="Leave --model away to go on with it")
        return folder
    with create_project(folder, model, data) as project:
        return project.folder


cli_firmware.register(cli)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code. Nothing here ends in a traceback."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    given = sys.argv[1:] if arguments is None else arguments
    as_json = bool({"--json", "--json-lines"} & set(given))
    return console.guarded(lambda: cli(given, standalone_mode=False, prog_name="quantiscope"), as_json)


if __name__ == "__main__":
    sys.exit(main())
