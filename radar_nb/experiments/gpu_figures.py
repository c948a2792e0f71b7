"""The two pictures of `radar_nb.experiments.gpu`."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from radar_nb.storage.whole import whole_file


def draw(table: pd.DataFrame, device: str, out: Path) -> None:
    """`gpu-throughput.png`: images a second by batch, and the roof; `gpu-patches.png`: AUROC and time of the
    whole image and of patches. Each where its rows are there.
    """
    matplotlib.use("Agg")
    speed = table[table.what == "U-Net, small"]
    patches = table[(table.step == "patches") & ~table.what.str.contains(" of ")]
    if len(speed):
        _throughput(speed, device, out / "gpu-throughput.png")
    if len(patches):
        _patches(patches, out / "gpu-patches.png")


def _throughput(speed: pd.DataFrame, device: str, path: Path) -> None:
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(9, 4.6), layout="constrained")
    parts = list(enumerate(speed.groupby("precision")))
    for number, (name, part) in parts:
        axes.plot(part.batch, part.value, "osD^vP*X<>"[number % 10] + "-", color=f"C{number}", label=name)
    for number, (name, part) in parts:
        if " " not in name:  # the others have the roof of their first word
            axes.axhline(float((part.value / part.roof_share).median()), color=f"C{number}", linestyle=":",
                         label=f"roof: matrix product, {name}")
    axes.set(xlabel="images in a call", ylabel="images a second, 256 x 256", xscale="log", yscale="log",
             title=f"the small U-Net alone, {device}")
    figure.legend(*axes.get_legend_handles_labels(), fontsize=8, loc="outside right upper")
    _save(figure, path)


def _patches(patches: pd.DataFrame, path: Path) -> None:
    from matplotlib import pyplot
    figure, both = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axes, unit, label in zip(both, ("AUROC", "ms"), ("image AUROC", "ms per image (noise map)"),
                                 strict=True):
        part = patches[patches.unit == unit].pivot(index="what", columns="precision", values="value")
        part = part.astype(float).reindex(patches.what.unique())
        for shift, marker, (name, values) in zip((-0.06, 0.06), "os", part.items(), strict=False):
            axes.plot(np.arange(len(part)) + shift, values, marker, label=name)
        axes.set(ylabel=label, yscale="log" if unit == "ms" else "linear")
        axes.grid(axis="y", alpha=0.4)
        axes.set_xticks(range(len(part)), part.index, rotation=30, ha="right")
    both[0].set_ylim(0.5, 1)
    both[1].legend()
    figure.suptitle("extrusion: whole image against patches of 28 x 28")
    _save(figure, path)


def _save(figure, path: Path) -> None:
    from matplotlib import pyplot
    with whole_file(path) as work:
        figure.savefig(work, dpi=110)
    pyplot.close(figure)
