"""Commands: `python -m radar_nb --help` lists them. Exit status 0, or 1 a failure, or 2 wrong use."""

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from radar_nb.storage.errors import InputError, StorageError, one_line

if TYPE_CHECKING:
    from radar_nb.method.training import TrainingConfig
    from radar_nb.runs.kit import Kit


_RESULTS = "folder of the tables (default: results)"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        """One line, and exit status 2."""
        self.exit(2, f"{self.prog}: {one_line(message)}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m radar_nb", description="RADAR: anomaly detection in one diffusion step.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    for add in (_add_run_and_train, _add_score, _add_compare_and_ablate, _add_bench, _add_reports):
        add(commands)
    return parser


def _add_run_and_train(commands) -> None:
    run = commands.add_parser("run", help="execute every notebook and collect the report")
    run.add_argument("--profile", default="cpu", help="smoke, cpu or gpu")
    run.add_argument("--out", help="folder for the results (default: runs/<profile>)")

    train = commands.add_parser("train",
                                help="train a U-Net and calibrate a detector; goes on where --out holds "
                                     "checkpoints")
    train.add_argument("--profile", default="cpu", help="smoke, cpu or gpu: sizes and settings")
    train.add_argument("--steps", type=int, help="training steps (default: the profile's)")
    train.add_argument("--network",
                       help="which U-Net: plain, folded, narrow or others of radar_nb.experiments.networks "
                            "(default: the profile's)")
    train.add_argument("--patience", type=int, default=0,
                       help="stop after so many steps without a better loss on calibration images "
                            "(default: never)")
    train.add_argument("--sample-every", type=int, default=0, help="steps between pictures of samples")
    train.add_argument("--out", required=True, help="folder for the model")
    for command in (run, train):
        command.add_argument("--dataset", default="printed", help="a data set's name, or a folder")
        command.add_argument("--seed", type=int, default=0)


def _add_score(commands) -> None:
    score = commands.add_parser("score", help="score images with a trained model")
    score.add_argument("--model", required=True, help="a folder that train wrote")
    score.add_argument("--engine", choices=("torch", "onnx"), default="torch",
                       help="what computes the U-Net (default: torch)")
    score.add_argument("images", nargs="+", help="image files, or folders of them")
    score.add_argument("--out", required=True,
                       help="folder for scores.csv, scores.jsonl, masks and overlays; goes on where it "
                            "stopped")


def _add_compare_and_ablate(commands) -> None:
    compare = commands.add_parser("compare",
                                  help="RADAR and its rivals on every data set and seed; goes on where it "
                                       "stopped, and adds to the tables")
    compare.add_argument("--datasets", nargs="+", default=["printed"],
                         help="names or folders (default: printed)")
    compare.add_argument("--methods", nargs="+", help="which (default: all)")
    compare.add_argument("--everything", action="store_true",
                         help="the whole comparison of results/ instead: all data sets that are there, "
                              "five seeds")
    ablate = commands.add_parser("ablate", help="change one thing at a time; goes on where it stopped")
    ablate.add_argument("--datasets", nargs="+", default=["printed"],
                        help="names or folders (default: printed)")
    ablate.add_argument("--ablations", nargs="+", help="which (default: all)")
    ablate.add_argument("--normality", action="store_true",
                        help="test the noise maps for normality instead, on the first data set")
    for command in (compare, ablate):
        command.add_argument("--profile", default="cpu", help="smoke, cpu or gpu")
        command.add_argument("--seeds", nargs="+", type=int, default=[0], help="which (default: 0)")
        command.add_argument("--out", default="runs/paper",
                             help="folder that keeps what is measured (default: runs/paper)")
        command.add_argument("--results", default="results", help=_RESULTS)


def _add_bench(commands) -> None:
    bench = commands.add_parser("bench",
                                help="how fast: every method, network and engine, in one run; writes "
                                     "bench.csv and bench.png")
    bench.add_argument("--quick", action="store_true", help="the most important rows, within a minute")
    bench.add_argument("--networks", nargs="*", metavar="NAME",
                       help="instead train and judge these U-Nets (default: all) and write networks.csv")
    bench.add_argument("--datasets", nargs="+", default=["printed"],
                       help="names or folders; the first is timed (default: printed)")
    bench.add_argument("--seeds", nargs="+", type=int, default=[0], help="for --networks (default: 0)")
    bench.add_argument("--profile", help="smoke, cpu or gpu (default: smoke with --quick, else cpu)")
    bench.add_argument("--run", default="runs/paper",
                       help="folder that keeps what is trained (default: runs/paper)")
    bench.add_argument("--out", default="results", help="folder for the table (default: results)")


def _add_reports(commands) -> None:
    notebooks = commands.add_parser("notebooks", help="execute notebooks in place at the smoke profile")
    notebooks.add_argument("names", nargs="*", help="which, such as 05_noise_maps (default: all)")
    claims = commands.add_parser("claims", help="write CLAIMS.md from the tables in results/")
    claims.add_argument("--out", default="CLAIMS.md", help="file to write (default: CLAIMS.md)")
    claims.add_argument("--results", default="results", help=_RESULTS)
    grade = commands.add_parser("grade", help="read the exercises.json of several students and write a table")
    grade.add_argument("places", nargs="+", help="folders to look through, or files")
    grade.add_argument("--out", default="grades.csv", help="file to write (default: grades.csv)")
    figures = commands.add_parser("figures",
                                  help="draw figures 1 to 8 of the paper from our own runs, as SVG and PNG")
    figures.add_argument("--out", required=True, help="folder for the figures")


def _run(args: argparse.Namespace) -> int:
    from radar_nb.experiments.claims import make_claims
    from radar_nb.experiments.evidence import Evidence
    from radar_nb.runs.kit import Kit
    from radar_nb.runs.notebooks import NotebookError, run_notebooks
    kit = Kit(args.profile, args.dataset, args.seed, args.out)
    kit.data.check()
    print(kit.data, flush=True)
    try:
        dataset = str(Path(args.dataset).resolve()) if Path(args.dataset).is_dir() else args.dataset
        summary = run_notebooks(kit, dataset, make_claims(Evidence()))
    except NotebookError as error:
        print(f"python -m radar_nb run: {error}", file=sys.stderr)
        return 1
    for method, scores in summary["methods"].items():
        print(method, " ".join(f"{name}={value:.3f}" for name, value in scores.items()))
    print(f"{summary['seconds']['total']:.0f} s; open {kit.folder / 'report.html'}")
    return 0


def _training_config(args: argparse.Namespace, config: "TrainingConfig") -> "TrainingConfig":
    """A profile's settings with what the arguments of `train` change."""
    from radar_nb.experiments.networks import with_network
    config = with_network(args.network, config) if args.network else config
    return replace(config, steps=config.steps if args.steps is None else args.steps,
                   sample_every=args.sample_every, patience=args.patience)


def _train(args: argparse.Namespace) -> int:
    from radar_nb.experiments.metrics import evaluate
    from radar_nb.method.detector import RadarDetector
    from radar_nb.runs.kit import Kit
    from radar_nb.runs.provenance import write_card
    from radar_nb.runs.training import TrainingStopped, is_main_process, train_into
    kit = Kit(args.profile, args.dataset, args.seed)
    config = _training_config(args, kit.training)
    if is_main_process():
        kit.data.check()
        print(kit.data, flush=True)
    try:
        result = train_into(args.out, kit.data.train, config,
                            calibrate=kit.data.calibrate if config.patience else None)
    except TrainingStopped as stopped:
        print(f"python -m radar_nb train: {stopped}", file=sys.stderr)
        return 143  # as a shell says it of a program that SIGTERM has ended
    if is_main_process():
        detector = RadarDetector(unet=result.unet, training=config, random_state=args.seed,
                                 longest_side=kit.longest_side).fit(kit.data.calibrate)
        detector.save_pretrained(args.out)
        write_card(Path(args.out), kit, config, result, evaluate(detector, kit.data))
        print(f"{args.out}: U-Net and detector, loss {result.losses[-1]:.3f}, {result.seconds:.0f} s")
    return 0


def _score(args: argparse.Namespace) -> int:
    from radar_nb.beyond.detector import load_detector
    from radar_nb.beyond.onnx import make_engine
    from radar_nb.data.folders import find_images
    from radar_nb.runs.scoring import score_files
    from radar_nb.runs.training import is_main_process, process_device
    detector = load_detector(args.model)
    if args.engine == "onnx":
        detector.unet_ = make_engine("onnx", detector.unet_)
    else:
        detector.unet_.to(process_device())
    paths = [path for item in map(Path, args.images)
             for path in (find_images(item, inside=True) if item.is_dir() else [item])]
    failed = score_files(detector, paths, Path(args.out))
    if is_main_process():
        print(f"{Path(args.out, 'scores.csv')}: {len(paths) - failed} images scored, {failed} failed")
    return 1 if failed else 0


def _notebooks(args: argparse.Namespace) -> int:
    from radar_nb.runs.notebooks import NotebookError, refresh_stored_outputs
    try:
        refresh_stored_outputs(args.names)
    except NotebookError as error:
        print(f"python -m radar_nb notebooks: {error}", file=sys.stderr)
        return 1
    return 0


def _compare(args: argparse.Namespace) -> int:
    from radar_nb.experiments.comparison import (
        collect, compare, full_plan, merge, plan, read_tables, write_tables)
    from radar_nb.experiments.methods import METHODS
    from radar_nb.runs.provenance import write_provenance
    names, absent = _chosen("methods", args.methods, METHODS), []
    if args.everything:
        jobs, absent = full_plan(args.profile, args.out)
    else:
        jobs = plan(_kits(args, args.out), names)
    for dataset in absent:
        print(f"{dataset}: not there, left out; python -m data_download {dataset} fetches it")
    compare(jobs)
    newer = collect(args.out)
    write_tables(merge(read_tables(Path(args.results)), newer), Path(args.results))
    whole = args.everything or not args.methods
    part = "" if whole else f", {', '.join(args.methods)} on {', '.join(args.datasets)}"
    # What was kept from earlier counts with the seconds that it took then.
    write_provenance(Path(args.results), f"comparison{part}", sum(result["seconds"] for result in newer))
    print(f"{args.results}: tables written")
    return 0


def _ablate(args: argparse.Namespace) -> int:
    from radar_nb.experiments.ablations import ABLATIONS, ablate, measure_normality
    from radar_nb.runs.kit import Kit
    from radar_nb.runs.provenance import write_provenance
    from radar_nb.storage.tables import write_table
    names = _chosen("ablations", args.ablations, ABLATIONS)
    began = time.perf_counter()
    if args.normality:
        kit = Kit(args.profile, args.datasets[0], args.seeds[0], args.out)
        name, rows = "normality", measure_normality(kit)
        seconds = time.perf_counter() - began
    else:
        name, rows = "ablations", ablate(_kits(args, args.out), names)
        seconds = sum(row["seconds"] for row in rows)
    write_table(Path(args.results, f"{name}.csv"), rows)
    write_provenance(Path(args.results), name, seconds)
    print(f"{args.results}: {name}.csv written")
    return 0


def _bench(args: argparse.Namespace) -> int:
    from radar_nb.experiments.bench import bench, draw_bench
    from radar_nb.experiments.networks import NETWORKS, collect_networks, measure_networks
    from radar_nb.runs.kit import Kit
    from radar_nb.runs.provenance import write_provenance
    from radar_nb.storage.tables import write_table
    args.profile, began = args.profile or ("smoke" if args.quick else "cpu"), time.perf_counter()
    if args.networks is None:
        name, rows = "bench", bench(Kit(args.profile, args.datasets[0], args.seeds[0], args.run), args.quick)
        seconds = time.perf_counter() - began
        draw_bench(rows, Path(args.out, "bench.png"))
    else:
        chosen = _chosen("networks", args.networks, NETWORKS)
        measure_networks(_kits(args, args.run), chosen)
        name, rows = "networks", collect_networks(args.run)
        seconds = sum(row["train_seconds"] for row in rows)
    write_table(Path(args.out, f"{name}.csv"), rows)
    write_provenance(Path(args.out), name, seconds)
    print(f"{args.out}: {name}.csv written")
    return 0


def _kits(args: argparse.Namespace, folder: str) -> "list[Kit]":
    """A kit for every data set and seed."""
    from radar_nb.runs.kit import Kit
    return [Kit(args.profile, dataset, seed, folder) for dataset in args.datasets for seed in args.seeds]


def _chosen(argument: str, names: list[str] | None, known: Iterable[str]) -> list[str]:
    """The names that the user chose, or all."""
    for name in names or ():
        if name not in known:
            raise InputError(f"--{argument} {name}: choose from {', '.join(known)}")
    return list(names or known)


def _claims(args: argparse.Namespace) -> int:
    from radar_nb.experiments.evidence import Evidence
    from radar_nb.experiments.report import write_claims
    for claim in write_claims(Evidence(args.results), Path(args.out)):
        print(f"{claim.verdict:22} {claim.claim}")
    return 0


def _grade(args: argparse.Namespace) -> int:
    from radar_nb.teaching.exercises import grade
    failed = grade(args.places, Path(args.out))
    print("\n".join([*failed, f"{args.out} written"]))
    return 1 if failed else 0


def _figures(args: argparse.Namespace) -> int:
    from radar_nb.experiments.paper_figures import draw_all
    names = draw_all(Path(args.out))
    print(f"{args.out}: {len(names)} figures, each as SVG and PNG, and index.json with their alt texts")
    return 0


_COMMANDS = {"run": _run, "train": _train, "score": _score, "compare": _compare, "ablate": _ablate,
             "bench": _bench, "notebooks": _notebooks, "claims": _claims, "figures": _figures,
             "grade": _grade}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    args = _parser().parse_args(arguments)
    try:
        return _COMMANDS[args.command](args)
    except InputError as error:
        print(f"python -m radar_nb {args.command}: {error}", file=sys.stderr)
        return 1 if isinstance(error, StorageError) else 2


if __name__ == "__main__":
    sys.exit(main())
