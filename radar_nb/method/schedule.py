"""How fast a training learns, and when it ends: one cycle of the learning rate, early stop on the calibration loss.

All of it follows from the step and from what was measured so far, so a training that goes on from a checkpoint ends where the
uninterrupted one ends.
"""

import math
from collections.abc import Sequence
from itertools import accumulate


def one_cycle(done: float, warmup: float) -> float:
    """Factor on the learning rate after the share `done` of the steps: half a cosine up, half a cosine down."""
    if done < warmup:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * done / warmup)) / 2
    return _fall((done - warmup) / (1 - warmup))


def _fall(done: float) -> float:
    """Half a cosine from 1 at 0 down to 0 at 1."""
    return (1 + math.cos(math.pi * min(1.0, done))) / 2


def patience_ends(calibration_losses: Sequence[float], every: int, patience: int) -> int | None:
    """The step at which the loss had not become better for `patience` steps; None while it has not come to that.

    Args:
        calibration_losses: measured after each `every` steps.
        patience: steps; 0 waits for ever.
    """
    since = 0  # measurements without a better one
    for number, (loss, best) in enumerate(zip(calibration_losses[1:], accumulate(calibration_losses, min)), 2):
        since = 0 if loss < best else since + 1
        if patience and since * every >= patience:
            return number * every
    return None


class Schedule:
    """Length and learning rate of one training.

    One cycle is laid out for `steps`. Where patience ends before, the rate is still high: it falls to zero over a tail of `TAIL` of
    the steps done, and there the training ends. The tail is short because it buys little: what is kept is the average of the weights,
    which rattles little at a high rate too, and as many steps without the fall came to the same calibration loss within 1.3 %.

    Args:
        steps, warmup: of the cycle, see `one_cycle`.
        every, patience: of the early stop, see `patience_ends`.
        calibration_losses: the list that grows as the training measures.
    """

    TAIL = 0.1

    def __init__(self, steps: int, warmup: float, every: int, patience: int, calibration_losses: Sequence[float]):
        self.steps, self.warmup, self.every, self.patience = steps, warmup, every, patience
        self.calibration_losses = calibration_losses

    def tail(self) -> tuple[int, int]:
        """The first step of the tail and the number of steps in all; `steps` twice where patience has not ended."""
        start = patience_ends(self.calibration_losses, self.every, self.patience)
        return (self.steps, self.steps) if start is None else (start, min(self.steps, start + math.ceil(self.TAIL * start)))

    def rate(self, step: int) -> float:
        """Factor on the learning rate of a step."""
        start, end = self.tail()
        factor = one_cycle(min(step, start) / self.steps, self.warmup)
        return factor * _fall((step - start) / (end - start)) if step > start else factor
