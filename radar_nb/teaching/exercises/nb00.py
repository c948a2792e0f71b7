"""Exercises of notebook 00: the chain of RADAR, and what normal means."""

from radar_nb.teaching.exercises.kinds import Choice, Exercise, Number

EXERCISES: tuple[Exercise, ...] = (
    Choice(
        "00.1",
        hints=("Follow the arrows in the map of the method at the top.", "Which part looks for edges?"),
        worked="b: Sobel. Then the two norms, then the forest.",
        why="each step looks at the one before, and none of them rebuilds the image",
        right="b",
        mistakes={"a": "the forest decides, but it needs two numbers, not a map",
                  "c": "the threshold comes last, for the segmentation",
                  "d": "nothing is reconstructed: that is the point of RADAR"}),
    Number(
        "00.2",
        hints=("How many times does RADAR call the network for one image?", "Once for each of the 500."),
        worked="500: one call for each image",
        why="a single step is what makes it fast",
        right=500,
        mistakes={1: "one call is enough for one image; here are 500",
                  500_000: "that would be all 1000 steps of the way back for each image; RADAR calls once",
                  25_000: "that would be 50 steps of DDIM for each image; RADAR calls once",
                  1000: "1000 is the number of timesteps, not of calls"}),
    Choice(
        "00.3",
        hints=("What has the network been shown, and what not?",
               "Has it ever seen beads that run the other way?"),
        worked="c: on the printed surface the turned image is called anomalous. The network never saw "
               "beads that run the other way. (On a surface "
               "without direction, turning may change nothing.)",
        why="anomalous means unlike the training images, not bad; if turned parts are fine, show the "
            "network turned parts",
        right="c",
        mistakes={"a": "nothing is broken, but the detector does not know what broken is; it only knows "
                       "what it was shown",
                  "b": "a square image turned by 90 degrees has the same shape: nothing stops it",
                  "d": "the same image gives the same answer each time: the noise of the one step has "
                       "a fixed random seed"}),
)
