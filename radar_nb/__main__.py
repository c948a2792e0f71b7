"""Commands: `python -m radar_nb --help` lists them. Exit status 0, or 1 a failure, or 2 wrong use."""

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from radar_nb.arguments import make_parser
from radar_nb.storage.errors import InputError, StorageError

if TYPE_CHECKING:
    from diffusers import UNet2DModel

    from radar_nb.method.training import TrainingConfig
    from radar_nb.runs.kit import Kit


def _run(args: argparse.Namespace) -> int:
    from radar_nb.data.named import find_dataset
    from radar_nb.experiments.claims import make_claims
    from radar_nb.experiments.evidence import Evidence
    from radar_nb.runs.kit import Kit
    from radar_nb.runs.notebooks import NotebookError, run_notebooks
    from radar_nb.storage.places import from_repository
    from_repository("notebooks")
    kit = Kit(args.profile, args.dataset, args.seed, args.out)
    kit.data.check()
    print(kit.data, flush=True)
    try:
        summary = run_notebooks(kit, find_dataset(args.dataset), make_claims(Evidence()))
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
    from radar_nb.runs.kit import Kit
    from radar_nb.runs.provenance import write_card
    from radar_nb.runs.training import TrainingStopped, is_main_process, train_into
    kit = Kit(args.profile, args.dataset, args.seed, longest_side=args.longest_side, tested=False)
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
        detector = _detector(args, kit, config, result.unet)
        detector.save_pretrained(args.out)
        write_card(Path(args.out), kit, config, result, evaluate(detector, kit.data))
        print(f"{args.out}: U-Net and detector, loss {result.losses[-1]:.3f}, {result.seconds:.0f} s")
    return 0


def _detector(args: argparse.Namespace, kit: "Kit", config: "TrainingConfig", unet: "UNet2DModel"):
    """The detector of `train`. The fused one has a page beside it, and says what it relies on."""
    from radar_nb.beyond.card import Card
    from radar_nb.beyond.fused import FusedDetector
    from radar_nb.data.named import NAMED
    from radar_nb.method.detector import RadarDetector
    options = {"unet": unet, "training": config, "random_state": args.seed, "longest_side": kit.longest_side}
    if (args.recipe or ("paper" if args.dataset in NAMED else "fused")) == "paper":
        return RadarDetector(**options).fit(kit.data.calibrate)
    detector = FusedDetector(**options).fit(kit.data.calibrate, learnt=kit.data.train)
    card = Card(detector, kit.data.calibrate, args.seed)
    card.write(Path(args.out, "card.html"), f"A detector for {kit.data.name}")
    print("\n".join(f"* {line}" for line in card.lines()))
    print(f"{Path(args.out, 'card.html')}: look at the most suspicious of your normal images there")
    return detector


def _score(args: argparse.Namespace) -> int:
    from radar_nb.beyond.detector import load_detector
    from radar_nb.beyond.onnx import make_engine
    from radar_nb.data.listing import find_images
    from radar_nb.runs.scoring import score_files
    from radar_nb.runs.training import is_main_process, process_device
    detector = load_detector(args.model)
    if args.engine == "onnx":
        detector.unet_ = make_engine("onnx", detector.unet_)
    else:
        detector.unet_.to(process_device())
    paths = [path for item in map(Path, args.images)
             for path in (find_images(item, True, skip=[Path(args.out)]) if item.is_dir() else [item])]
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
    from radar_nb.experiments import comparison
    from radar_nb.experiments.methods import METHODS
    from radar_nb.runs.provenance import write_provenance
    names, absent = _chosen("methods", args.methods, METHODS), []
    if args.everything:
        jobs, absent = comparison.full_plan(args.profile, args.out)
    else:
        jobs = comparison.plan(_kits(args, args.out), names)
    for dataset in absent:
        print(f"{dataset}: not there, left out; python -m data_download {dataset} fetches it")
    comparison.compare(jobs)
    newer = comparison.collect(args.out)
    tables = comparison.merge(comparison.read_tables(Path(args.results)), newer)
    comparison.write_tables(tables, Path(args.results))
    whole = args.everything or not args.methods
    part = "" if whole else f", {', '.join(args.methods)} on {', '.join(args.datasets)}"
    # What was kept from earlier counts with the seconds that it took then.
    write_provenance(Path(args.results), f"comparison{part}", sum(result["seconds"] for result in newer))
    print(f"{args.results}: tables written")
    return 0


def _ablate(args: argparse.Namespace) -> int:
    from radar_nb.experiments.ablations import ABLATIONS, ablate, add_to_table, measure_normality
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
        rows = add_to_table(Path(args.results, "ablations.csv"), rows)
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


def _check_claims(args: argparse.Namespace) -> int:
    from radar_nb.experiments.reviewing import check_claims
    return 0 if check_claims(args.results, args.quick, args.out) else 1


def _pages(args: argparse.Namespace) -> int:
    from radar_nb.experiments.pages import write_pages
    print(*write_pages(), "written")
    return 0


def _grade(args: argparse.Namespace) -> int:
    from radar_nb.teaching.exercises import grade
    failed = grade(args.places, Path(args.out))
    print(*failed, f"{args.out} written", sep="\n")
    return 1 if failed else 0


def _figures(args: argparse.Namespace) -> int:
    from radar_nb.experiments.paper_figures import draw_all
    count = len(draw_all(Path(args.out)))
    print(f"{args.out}: {count} figures, each as SVG and PNG, and index.json with their alt texts")
    return 0


_COMMANDS = {"run": _run, "train": _train, "score": _score, "compare": _compare, "ablate": _ablate,
             "bench": _bench, "notebooks": _notebooks, "claims": _claims, "figures": _figures,
             "grade": _grade, "check-claims": _check_claims, "pages": _pages}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    args = make_parser().parse_args(arguments)
    try:
        return _COMMANDS[args.command](args)
    except InputError as error:
        print(f"python -m radar_nb {args.command}: {error}", file=sys.stderr)
        return 1 if isinstance(error, StorageError) else 2


if __name__ == "__main__":
    sys.exit(main())
