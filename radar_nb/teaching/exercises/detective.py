"""The exercises of notebook 09 on reading a published table."""

from radar_nb.teaching.exercises.kinds import Choice, Code, Exercise


def _published(rng):
    """Precision and recall as they follow from a confusion table, and its size."""
    positives, negatives = rng.integers(30, 90, 2)
    true, false = rng.integers(8, 29), rng.integers(2, 25)
    return true / (true + false), true / positives, int(positives), int(negatives)


EXERCISES: tuple[Exercise, ...] = (
    Code(
        "09.5",
        hints=("Go back to counts: recall gives the images found, precision then all that were called.",
               "found = recall * positives; called = found / precision; called - found are false alarms."),
        worked="def false_alarm_rate(precision, recall, positives, negatives):\n"
               "    found = recall * positives\n    return (found / precision - found) / negatives",
        why="a table with precision and recall tells this too, if it says how many images there were",
        right=lambda p, r, P, N: r * P * (1 / p - 1) / N,
        draw=_published,
        mistakes={
            "that is the share of the alarms that are false; a share of the normal images is asked for":
                lambda p, r, P, N: 1 - p,
            "that is the miss rate: defective images that were not found": lambda p, r, P, N: 1 - r,
            "those are the false alarms; divide by the number of normal images":
                lambda p, r, P, N: r * P * (1 / p - 1),
            "divide by the normal images alone, not by all": lambda p, r, P, N: r * P * (1 / p - 1) / (P + N),
            "divide by the normal images, not by the defective ones": lambda p, r, P, N: r * (1 / p - 1),
            "that is the share of normal images that were left in peace; take it from 1":
                lambda p, r, P, N: 1 - r * P * (1 / p - 1) / N}),
    Choice(
        "09.6",
        hints=("Which sentence is arithmetic, and which one is about somebody's reasons?",
               "The digits fit 74 + 33 and not 84 + 33. Do they say why?"),
        worked="b: the digits fit 74 + 33 images, not 84 + 33. Only the authors know why: ask.",
        why="a detective says what the evidence shows, and asks about the rest",
        right="b",
        mistakes={"a": "the digits tell no reason; ten images kept for validation would look the same",
                  "c": "six rows, and four of another slide, fit one and the same size; misprints would not",
                  "d": "two digits leave one size of the 9600 that were tried",
                  "e": "F1 of the trivial row is high on 84 + 33 as well; that says nothing of the ten"}),
)
