"""The words of the explorers, once for JupyterLab and for the pages of the book.

Sentences are filled in with `str.format`; pages know `{name}`, `{name:.2f}` and `{name:.2%}`.
"""

from radar_nb.method.noise_map import READINGS

TEXTS = {
    "live": {  # in pages
        "waiting": "{megabytes:.1f} MB are loaded once you touch this.",
        "loading": "Loading the network, {megabytes:.1f} MB …",
        "loaded": "The small network printed-fast answers here. The notebook's own is larger: its numbers "
                  "differ a little.",
        "failed": "The network does not start in this browser ({reason}).",
        "broken": "This could not be drawn ({reason}).",
    },
    "explore_paint": {
        "alt": "A normal image with something painted on it, the U-Net's noise map, the smoothed Sobel map "
               "with the found outline, and the place of the image in the plane of features.",
        "labels": {"image": "image", "size": "brush size, pixels", "grey": "grey value",
                   "opacity": "opacity, %", "row": "row", "column": "column"},
        "buttons": {"dab": "dab", "undo": "undo", "clear": "start again"},
        "titles": {"canvas": "paint here", "noise": "noise map", "sobel": "Sobel map, found outline",
                   "plane": "features"},
        "axes": {"x": "global norm", "y": "local norm", "points": "calibration images"},
        "decisions": {"normal": "normal", "anomalous": "ANOMALOUS"},
        "text": "Decision: {decision}. Score {score:.2f}, anomalous above {offset:.2f}. "
                "Global norm {global_norm:.2f}, local norm {local_norm:.2f}.",
        "hint": "Paint on the first picture: with the mouse, a finger, or arrow keys and space.",
    },
    "paint_first": {  # on the book's first page
        "buttons": {"clear": "start again", "undo": "undo", "surface": "another surface",
                    "defect": "a real defect"},
        "titles": {"canvas": "Paint a defect here", "sobel": "What RADAR sees"},
        "decisions": {"normal": "NORMAL", "anomalous": "ANOMALOUS"},
        "hint": "Paint on the surface: with the mouse, a finger, or arrow keys and space.",
    },
    "drop_photograph": {  # a page of its own
        "labels": {"file": "Choose a photograph, drop it here, or paste it", "network": "look with",
                   "scale": "colours"},
        "networks": {"printed-fast": "the network for printed layers",
                     "extrusion": "the network for extruded beads", "texture": "the network for brick walls"},
        "scales": {"own": "from 0 to the brightest place", "surface": "as for the network's own surface"},
        "titles": {"photograph": "what the network is given", "map": "its Sobel map"},
        "decisions": {"normal": "normal", "anomalous": "ANOMALOUS"},
        "hint": "No photograph yet.",
        "looking": "Looking …",
        "size": "{name}: {width} x {height} pixels{shrunk}.",
        "shrunk": ", shrunk to {w} x {h}",
        "grey": "Shown in grey, since the network has seen grey images only.",
        "white": "What is transparent was put on white.",
        "text": "Decision: {decision}. Score {score:.2f}, anomalous above {offset:.2f}. Least like what "
                "{surface} knows: row {row}, column {column}.",
        "nothing": "That was no file. Choose a photograph, a PNG or JPEG file.",
        "unnamed": "the picture",
        "empty": "{name} is empty. Choose another file.",
        "unreadable": "{name} is no image that this browser can read. Choose a PNG or JPEG file.",
        "heavy": "{name} has {megabytes:.0f} MB. Choose a file of at most {most:.0f} MB.",
        "huge": "{name} has {width} x {height} pixels. Choose a picture of at most {most:.0f} million.",
        "small": "{name} is too small: {width} x {height} pixels{shrunk}. It needs {least} x {least}.",
    },
    "explore_forward": {
        "alt": "Forward diffusion: the noisy image, the histogram of its values beside the Gaussian curve, "
               "and the shares of image and noise.",
        "labels": {"image": "image", "t": "timestep t"},
        "titles": {"noisy": "x_t", "values": "its values", "left": "what is left"},
        "axes": {"value": "value of a pixel of x_t", "density": "density", "t": "timestep t",
                 "share": "share of the variance"},
        "legend": {"gaussian": "Gaussian", "image": "image", "noise": "noise"},
        "text": "t = {t}: each pixel is {image_share:.2f} times the image plus {noise_share:.2f} times "
                "noise. Signal-to-noise ratio {decibel:.1f} dB.",
    },
    "explore_reverse": {
        "alt": "The reverse process: a noisy patch, the noise that the U-Net sees in it, its guess of the "
               "clean patch, and the patch one step further.",
        "labels": {"start": "start from", "step": "step"},
        "buttons": {"play": "play"},
        "starts": {999: "pure noise, t = 999", 500: "the image with noise, t = 500",
                   200: "the image with noise, t = 200"},
        "titles": {"before": "x_t goes in", "noise": "what the U-Net calls noise",
                   "guess": "its guess of the image", "after": "a step further"},
        "text": "Step {step} of {steps}: from t = {t} to {end}.",
        "end": "t = {previous}",
        "clean": "the clean image",
    },
    "explore_attention": {
        "alt": "An image with a cross on one place, and the attention of that place to all others.",
        "labels": {"row": "row", "column": "column", "t": "timestep t", "layer": "layer"},
        "titles": {"click": "click a place", "looks": "where it looks"},
        "text": "The place in row {row}, column {column} gives half of its attention to {half} of "
                "{places} places, most of all to row {best_row}, column {best_column}: {most:.2%}. Spread "
                "evenly it would be {even:.2%} each; the colours run from {least:.2%} to {most:.2%}.",
    },
    "explore_noise_map": {
        "alt": "An image, its noise map, the histogram of the map and its Q-Q plot against a Gaussian.",
        "labels": {"image": "image", "t": "timestep t", "reading": "reading"},
        "readings": READINGS,
        "titles": {"image": "image", "noise": "noise map", "values": "histogram", "line": "Q-Q plot"},
        "axes": {"value": "value, in standard deviations", "density": "density (log scale)",
                 "expected": "quantile of a Gaussian", "measured": "quantile of the map"},
        "legend": {"gaussian": "Gaussian"},
        "text": "{image}, t = {t}, {reading}: deviation {std:.2f}, excess kurtosis {kurtosis:.1f}, KS "
                "distance {distance:.2f} (a Gaussian has 0 and 0). Colours run from -{limit} to {limit}.",
    },
    "explore_features": {
        "alt": "Test images as points in the plane of global and local norm, and the region that the "
               "Isolation Forest calls normal.",
        "labels": {"contamination": "contamination", "count": "learnt from", "view": "view"},
        "titles": {"plane": "feature plane"},
        "views": {"all": "all images", "near": "the cloud of normal images"},
        "axes": {"global": "global norm", "local": "local norm"},
        "legend": {"normal": "normal", "defective": "defective"},
        "text": "contamination {contamination:.2f}, learnt from {count} points. False alarms: {alarms} of "
                "{good} normal images. Found: {found} of {bad} defective images. Shaded: what the forest "
                "calls normal.",
        "few": " Orange: what it has learnt from.",
    },
}
