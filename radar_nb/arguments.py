"""The arguments of the commands of `python -m radar_nb`."""

import argparse

from radar_nb.storage.errors import one_line

_RESULTS = "folder of the tables (default: results)"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        """One line, and exit status 2."""
        self.exit(2, f"{self.prog}: {one_line(message)}; see {self.prog} --help\n")


def make_parser() -> argparse.ArgumentParser:
    """The commands and their arguments; `args.command` is the command's name."""
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
                                help="train a U-Net and calibrate a detector; a second call continues from "
                                     "the checkpoints in --out")
    train.add_argument("--profile", default="cpu", help="smoke, cpu or gpu: sizes and settings")
    train.add_argument("--recipe", choices=("fused", "paper"),
                       help="fused: three views of one U-Net call, for photographs; paper: the paper's own "
                            "(default: fused on a folder, paper on a built-in data set)")
    train.add_argument("--steps", type=int, help="training steps (default: the profile's)")
    train.add_argument("--network",
                       help="which U-Net: plain, folded, narrow or others of radar_nb.experiments.networks "
                            "(default: the profile's)")
    train.add_argument("--longest-side", type=int,
                       help="shrink larger images of a folder to so many pixels (default: the profile's, "
                            "for cpu 512); 1024 finds finer defects and takes four times as long")
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
                       help="folder for scores.csv, scores.jsonl, masks and overlays; a second call "
                            "continues")


def _add_compare_and_ablate(commands) -> None:
    compare = commands.add_parser("compare",
                                  help="measure RADAR and its rivals; a second call continues")
    compare.add_argument("--datasets", nargs="+", default=["printed"],
                         help="names or folders (default: printed)")
    compare.add_argument("--methods", nargs="+", help="which (default: all)")
    compare.add_argument("--everything", action="store_true",
                         help="instead, the whole comparison of results/: every data set that is found, "
                              "five seeds")
    ablate = commands.add_parser("ablate", help="change one part at a time; a second call continues")
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
                                help="measure the speed of methods, networks and engines; writes bench.csv "
                                     "and bench.png")
    bench.add_argument("--quick", action="store_true", help="only the most important rows, in a minute")
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
    commands.add_parser("pages", help="write the pages that hold numbers: README.md, docs/reviewing.md, "
                                      "docs/report/report.md")
    check = commands.add_parser("check-claims", help="run the quick checks again; compare with the tables")
    check.add_argument("--quick", action="store_true", help="only what takes seconds")
    check.add_argument("--results", default="results", help=_RESULTS)
    check.add_argument("--out", help="file for the results, such as results/checks.csv (default: none)")
    claims = commands.add_parser("claims", help="write CLAIMS.md from the tables in results/")
    claims.add_argument("--out", default="CLAIMS.md", help="file to write (default: CLAIMS.md)")
    claims.add_argument("--results", default="results", help=_RESULTS)
    grade = commands.add_parser("grade", help="read the exercises.json of several students and write a table")
    grade.add_argument("places", nargs="+", help="folders to look through, or files")
    grade.add_argument("--out", default="grades.csv", help="file to write (default: grades.csv)")
    figures = commands.add_parser("figures",
                                  help="draw figures 1 to 8 of the paper from our own runs, as SVG and PNG")
    figures.add_argument("--out", required=True, help="folder for the figures")
