"""Figures 1 to 8 of the paper, redrawn from our own runs with the released networks."""

import json
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from scipy import stats

from radar_nb.data.images import to_image, to_tensor
from radar_nb.experiments.metrics import f1, precision, recall
from radar_nb.figures import (
    ACCENT,
    ANOMALOUS,
    NEUTRAL,
    NORMAL,
    detection_figure,
    draw_decision,
    draw_histogram,
    draw_image,
    draw_map,
    draw_qq,
    new_figure,
)
from radar_nb.method.diffusion import add_noise, denoise, make_scheduler
from radar_nb.method.training import draw_batch
from radar_nb.runs.kit import Kit
from radar_nb.storage.whole import whole_file, write_json


def draw_all(out: Path, profile: str = "smoke") -> list[str]:
    """Write every figure to `out` as SVG and PNG, with `index.json` of their alt texts; returns the names."""
    out.mkdir(parents=True, exist_ok=True)
    kit, index = Kit(profile), {}
    for name, make in FIGURES.items():
        figure, alt = make(kit)
        for suffix in ("svg", "png"):
            # No date and fixed ids: the same run writes the same file.
            told = {"Date": None, "Title": alt} if suffix == "svg" else {"Description": alt}
            with (plt.rc_context({"svg.hashsalt": name}),
                  whole_file(out / f"{name}.{suffix}", durable=False) as work):
                figure.savefig(work, bbox_inches="tight", dpi=150, metadata=told)
        plt.close(figure)
        index[name] = {"alt": alt}
    write_json(out / "index.json", index)
    return list(index)


def example_of(kit: Kit, kind: str, number: int = 0) -> int:
    """Index of the `number`-th test image of a kind."""
    return [index for index, found in enumerate(kit.data.kinds) if found == kind][number]


def overview(kit: Kit) -> tuple[Figure, str]:
    """Fig. 1: from image to decision."""
    chosen = [example_of(kit, "good"), example_of(kit, "blob"), example_of(kit, "scratch")]
    findings = list(kit.detector.inspect([kit.data.test[index] for index in chosen]))
    noise = max(float(np.quantile(np.abs(finding["noise_map"]), 0.999)) for finding in findings)
    sobel = max(float(finding["anomaly_map"].max()) for finding in findings)
    figure, axes = new_figure(3, 5, width=13, height=7.4)
    features, labels = kit.detector.features(kit.data.test), kit.data.labels
    for row, finding, index in zip(axes, findings, chosen, strict=True):
        draw_image(row[0], finding["image"], f"{kit.data.kinds[index]}", kit.data.masks[index])
        draw_map(row[1], finding["noise_map"].mean(axis=0), "noise map, one U-Net call", noise, signed=True)
        draw_map(row[2], finding["anomaly_map"], "Sobel map", sobel)
        draw_decision(row[3], kit.detector.forest_, features, labels, "Isolation Forest")
        row[3].get_legend().remove()
        row[3].plot(*finding["features"], marker="*", markersize=17, color=ACCENT, markeredgecolor="black")
        draw_image(row[4], finding["image"], "normal" if finding["normal"] else "anomalous: mask",
                   finding["mask"])
    return figure, ("Three rows: a normal print, one with a blob, one with a scratch. Each goes from image "
                    "to noise map, to Sobel map, to a star in the plane of global and local norm, to the "
                    "decision. The normal star lies in the forest's shaded region, the "
                    "defective ones far outside, and their masks outline the defects.")


def two_directions(kit: Kit) -> tuple[Figure, str]:
    """Fig. 2: forward diffusion of an image, and backward diffusion from pure noise."""
    x0 = to_tensor(kit.data.train[0])[None]
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(kit.seed))
    times = (0, 100, 250, 500, 999)
    forward = [x0 if t == 0 else add_noise(x0, eps, t, make_scheduler().alphas_cumprod) for t in times]
    image, kept = denoise(kit.unet, eps, 999, 50, keep_every=1)
    backward = [image] + [min(kept, key=lambda pair, t=t: abs(pair[0] - t))[1] for t in times[1:]]
    figure, axes = new_figure(2, len(times), width=11, height=4.9)
    for column, t in enumerate(times):
        draw_image(axes[0, column], to_image(forward[column][0]), f"forward, t = {t}")
        draw_image(axes[1, column], to_image(backward[column][0]), f"backward, t = {t}")
    return figure, ("Above, a printed surface vanishes in noise from t = 0 to 999. Below, read from right to "
                    "left, the network turns pure noise into a new printed surface in 50 DDIM steps.")


def training_on_patches(kit: Kit) -> tuple[Figure, str]:
    """Fig. 3: patches, noised patches, and the loss."""
    images = [to_tensor(image) for image in kit.data.train]
    x0, eps, t = draw_batch(images, kit.training, 0)
    x_t = add_noise(x0, eps, t, make_scheduler().alphas_cumprod)
    losses = json.loads((kit.weights_folder / "training.json").read_text())["losses"]
    figure = new_figure(width=11, height=3.4)[0]
    figure.clear()
    grid = figure.add_gridspec(2, 7, width_ratios=(2, 1, 1, 1, 1, 0.3, 3))
    left = figure.add_subplot(grid[:, 0])
    draw_image(left, kit.data.train[0], "a normal image")
    size = kit.training.patch_size
    for row, column in ((8, 12), (70, 30), (40, 84)):
        left.add_patch(Rectangle((column, row), size, size, fill=False, edgecolor=ACCENT, linewidth=2))
    for number in range(4):
        draw_image(figure.add_subplot(grid[0, 1 + number]), to_image(x0[number]), "patch")
        draw_image(figure.add_subplot(grid[1, 1 + number]), to_image(x_t[number]), f"t = {int(t[number])}")
    right = figure.add_subplot(grid[:, 6])
    right.semilogy(losses, color=NORMAL, alpha=0.25)
    smooth = np.convolve(losses, np.ones(25) / 25, mode="valid")
    right.semilogy(np.arange(len(smooth)) + 12, smooth, color=NORMAL)
    right.set(title="loss of the released network", xlabel="step", ylabel="mean squared error")
    return figure, ("A normal image with three 32 x 32 patches marked; four patches and the same patches "
                    f"noised; the training loss falls from {losses[0]:.1f} to about "
                    f"{np.mean(losses[-50:]):.2f} in {len(losses)} steps.")


def noise_maps(kit: Kit) -> tuple[Figure, str]:
    """Fig. 4: the noise map of a normal patch and of an anomalous one."""
    chosen, size = [example_of(kit, "good"), example_of(kit, "blob")], kit.training.patch_size
    maps = [finding["noise_map"].mean(axis=0)
            for finding in kit.detector.inspect([kit.data.test[index] for index in chosen])]
    rows, columns = np.nonzero(kit.data.masks[chosen[1]])
    shape = kit.data.test[chosen[1]].shape
    corner = [int(np.clip(places.mean() - size / 2, 0, shape[axis] - size))
              for axis, places in enumerate((rows, columns))]
    window = tuple(slice(start, start + size) for start in corner)
    patches = [map_[window] for map_ in maps]
    limit = float(np.quantile(np.abs(patches[1]), 0.99))
    figure, axes = new_figure(2, 4, width=12, height=5.6)
    for row, index, patch in zip(axes, chosen, patches, strict=True):
        draw_image(row[0], kit.data.test[index], f"{kit.data.kinds[index]}, a patch of it",
                   kit.data.masks[index])
        row[0].add_patch(Rectangle(corner[::-1], size, size, fill=False, edgecolor=NORMAL, linewidth=2))
        draw_map(row[1], patch, "noise map of the patch", limit, signed=True)
        draw_histogram(row[2], patch, f"excess kurtosis {stats.kurtosis(patch.ravel()):.1f}")
        draw_qq(row[3], patch, "Q-Q plot")
    return figure, ("Above, a patch of a normal print: its noise map is even, its histogram close to a "
                    "Gaussian, its Q-Q plot close to a line. Below, the "
                    "same place on a print with a blob: the map flares up, the histogram has long tails, "
                    "the Q-Q plot bends away at both ends.")


def attention_unet(kit: Kit) -> tuple[Figure, str]:
    """Fig. 5: the U-Net, block by block, from its own modules."""
    unet, size = kit.unet, kit.training.patch_size // kit.training.fold
    levels = len(unet.config.block_out_channels)
    blocks = []  # column, level, text, has attention
    for level, block in enumerate(unet.down_blocks):
        blocks.append((level, level, f"down\n{unet.config.block_out_channels[level]} ch.",
                       hasattr(block, "attentions")))
    blocks.append((levels, levels - 1, f"middle\n{unet.config.block_out_channels[-1]} ch.",
                   unet.mid_block.attentions[0] is not None))
    for number, block in enumerate(unet.up_blocks):
        level = levels - 1 - number
        blocks.append((levels + 1 + number, level, f"up\n{unet.config.block_out_channels[level]} ch.",
                       hasattr(block, "attentions")))
    figure, axes = new_figure(width=11, height=4)
    for column, level, text, attention in blocks:
        colour = ANOMALOUS if attention else NORMAL
        axes.add_patch(FancyBboxPatch((column, -level), 0.7, 0.6, boxstyle="round,pad=0.02", facecolor=colour,
                                      alpha=0.25, edgecolor=colour))
        axes.text(column + 0.35, 0.3 - level, f"{text}\n{size // 2**level} x {size // 2**level}", ha="center",
                  va="center", fontsize=9)
    for first, second in zip(blocks, blocks[1:], strict=False):
        axes.annotate("", (second[0], 0.3 - second[1]), (first[0] + 0.7, 0.3 - first[1]),
                      arrowprops={"arrowstyle": "->", "color": NEUTRAL})
    for level in range(levels):  # skip connections, from down to up
        axes.annotate("", (2 * levels - level, 0.63 - level), (level + 0.7, 0.63 - level),
                      arrowprops={"arrowstyle": "->", "color": NEUTRAL, "linestyle": ":"})
    count = sum(parameter.numel() for parameter in unet.parameters())
    fold = kit.training.fold
    axes.text(0, 1.0, f"x_t and t in: 32 x 32 pixels, folded {fold} x {fold}", fontsize=10)
    axes.text(2 * levels + 0.7, 1.0, "predicted noise out", fontsize=10, ha="right")
    axes.set(xlim=(-0.1, 2 * levels + 0.9), ylim=(-levels + 0.9, 1.2),
             title=f"Attention U-Net, {count:,} parameters; orange blocks attend to themselves")
    axes.axis("off")
    return figure, (f"The U-Net as a chain of boxes: {levels} down blocks, a middle block, {levels} up "
                    "blocks, with dotted skip connections between blocks "
                    "of one resolution. The boxes of the lowest resolution, and the middle, hold "
                    "self-attention.")


def data_samples(kit: Kit) -> tuple[Figure, str]:
    """Fig. 6: what the images look like."""
    kits = (kit, Kit(kit.profile, "texture", kit.seed))
    kinds = [list(dict.fromkeys(each.data.kinds)) for each in kits]
    figure, axes = new_figure(2, max(map(len, kinds)), width=12.5, height=4.7)
    for row, each, names in zip(axes, kits, kinds, strict=True):
        for axis in row:
            axis.axis("off")
        for axis, kind in zip(row, names, strict=False):
            axis.axis("on")
            index = example_of(each, kind, 1)
            draw_image(axis, each.data.test[index], f"{each.data.name}: {kind}", each.data.masks[index])
    return figure, ("Above, printed surfaces: good, then with a gap, a blob, a shifted layer, a scratch, a "
                    "rough spot. Below, photographs of brick: good, "
                    "then with a stain, a scratch, a turned patch, grit. Orange lines outline the true "
                    "defects.")


def anomaly_maps(kit: Kit) -> tuple[Figure, str]:
    """Fig. 7: anomaly maps beside true masks."""
    chosen = [example_of(kit, kind, 2) for kind in dict.fromkeys(kit.data.kinds)]
    findings = list(kit.detector.inspect([kit.data.test[index] for index in chosen]))
    return (detection_figure(findings, [kit.data.masks[index] for index in chosen],
                             [kit.data.kinds[index] for index in chosen]),
            "Six rows, one good print and one of each defect: image with the true outline, noise map, "
            "smoothed Sobel map, and the outline that was found. "
            "Both maps are quiet on the good print and bright at each defect.")


def contamination(kit: Kit) -> tuple[Figure, str]:
    """Fig. 8: how much the contamination matters."""
    features, labels = kit.detector.features(kit.data.test), kit.data.labels
    scores, calibration = (-kit.detector.forest_.score_samples(points)
                           for points in (features, kit.detector.calibration_features_))
    levels = np.array([0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3])
    decisions = [scores > np.quantile(calibration, 1 - level) for level in levels]
    figure, axes = new_figure(width=7, height=3.8)
    curves = ((f1, "F1", NORMAL, "o"), (precision, "precision", ANOMALOUS, "s"),
              (recall, "recall", ACCENT, "^"))
    for metric, name, colour, marker in curves:
        axes.plot(100 * levels, [metric(labels, chosen) for chosen in decisions], color=colour, marker=marker,
                  label=name)
    axes.set(xscale="log", xticks=100 * levels, xticklabels=[f"{100 * level:g}" for level in levels],
             ylim=(0, 1.02), ylabel="score on test images",
             xlabel="contamination: share of normal calibration images called anomalous, %",
             title=f"Sensitivity to the contamination, {kit.data.name}")
    axes.minorticks_off()
    axes.legend()
    values = [f1(labels, chosen) for chosen in decisions]
    return figure, ("F1, precision and recall against the contamination from 0.5 to 30 %. F1 stays "
                    f"between {min(values):.2f} and {max(values):.2f}: recall is high "
                    "everywhere, and precision falls as more normal images are given away.")


FIGURES: dict[str, Callable[[Kit], tuple[Figure, str]]] = {
    "figure_1_overview": overview, "figure_2_diffusion": two_directions,
    "figure_3_training": training_on_patches,
    "figure_4_noise_maps": noise_maps, "figure_5_attention_unet": attention_unet,
    "figure_6_data": data_samples,
    "figure_7_anomaly_maps": anomaly_maps, "figure_8_contamination": contamination}
