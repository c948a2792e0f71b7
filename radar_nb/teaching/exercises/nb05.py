"""Exercises of notebook 05: noise maps."""

from radar_nb.teaching.exercises.kinds import Choice, Code, Exercise, Number

EXERCISES: tuple[Exercise, ...] = (
    Code(
        "05.1",
        hints=("Bring x to mean 0 and standard deviation 1, then take the mean of the fourth powers.",
               "A Gaussian gives 3; excess kurtosis subtracts that."),
        worked="def excess_kurtosis(x):\n    z = (x - x.mean()) / x.std()\n    return (z**4).mean() - 3",
        why="0 for a Gaussian, positive where rare values are far out, as at a defect",
        right=lambda x: (((x - x.mean()) / x.std()) ** 4).mean() - 3,
        draw=lambda rng: (rng.standard_t(4, 300) * 2 + 1,),
        mistakes={
            "that is the kurtosis; the excess is what is above the 3 of a Gaussian":
                lambda x: (((x - x.mean()) / x.std()) ** 4).mean(),
            "divide by the standard deviation, not by the variance":
                lambda x: (((x - x.mean()) / x.var()) ** 4).mean() - 3,
            "subtract the mean first": lambda x: ((x / x.std()) ** 4).mean() - 3,
            "divide by the standard deviation first": lambda x: ((x - x.mean()) ** 4).mean() - 3,
            "that is the skewness, the third power": lambda x: (((x - x.mean()) / x.std()) ** 3).mean()}),
    Number(
        "05.2",
        hints=("Take the mean of the squares and of the fourth powers: 0.9 of one part, 0.1 of the other.",
               "Variance 0.9 * 1 + 0.1 * 9 = 1.8. Fourth power 3 * (0.9 * 1 + 0.1 * 81) = 27. Divide by the "
               "variance squared, subtract 3."),
        worked="27 / 1.8**2 - 3 = 5.33",
        why="two bells of different width make no bell: a defect on a tenth of the pixels shows in the tails",
        right=27 / 1.8**2 - 3,
        tolerance=0.02,
        mistakes={27 / 1.8**2: "that is the kurtosis; subtract the 3 of a Gaussian",
                  0: "each part is a bell, but their mixture is not",
                  24: "bring the mixture to variance 1 first: divide by its variance squared",
                  12: "divide by the variance squared, not by the variance"}),
    Choice(
        "05.3",
        hints=("The mean and the spread were removed before drawing: only the shape is left.",
               "At the right end the points lie above the line: are these values farther out than a "
               "Gaussian's, or less far?"),
        worked="a: the rarest values are farther out than those of a Gaussian with the same spread: "
               "heavy tails.",
        why="a Q-Q plot shows at a glance which part of a distribution is not Gaussian; a histogram hides "
            "the tails",
        right="a",
        mistakes={"b": "then the ends would bend the other way, towards the middle",
                  "c": "the mean was removed: it cannot show",
                  "d": "the spread was divided out: a wide Gaussian lies on the line"}),
    Choice(
        "05.4",
        hints=("residual = predicted - added.", "A perfect network predicts just what was added."),
        worked="d: zero everywhere. A residual map shows nothing but the errors of the network.",
        why="so the residual shows where the network errs. At t = 1 it errs everywhere, because so little "
            "noise can hardly be seen; at t = 200 it errs most on a defect, which it was never shown",
        right="d",
        mistakes={"a": "that is the reading called predicted: the added noise has not been subtracted",
                  "b": "the image never enters: both terms are noise",
                  "c": "a perfect network tells the noise from any normal surface, so nothing is left"}),
)
