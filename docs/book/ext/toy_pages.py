"""The toy of the plane in the pages of notebooks 01 to 04: one toy, opened at what the page is about."""

from docutils import nodes

SCRIPTS, STYLE = ("toy_model.js", "toy.js"), "toy.css"
TITLE = "Before images: a cloud in the plane"
# Notebook: the stage that is open first, and what to look for there.
PAGES = {
    "notebooks/01_forward_diffusion": ("noise", """
    Points are easier to follow than images. Draw a cloud, choose “Add noise”, and move t: the shape drowns.
    In the end every cloud is the same round cloud."""),
    "notebooks/02_backward_diffusion": ("back", """
    A tiny network learns your cloud in front of you, in about ten seconds. Then noise walks back to it, a
    little in each step. Look for points that end between the parts of the cloud: a network can be wrong."""),
    "notebooks/03_attention_unet": ("off", """
    What does a noise predictor say where it has never been? This one has three layers and 3,458 weights
    instead of a U-Net. Train it, then move the cross. On the cloud, what it calls noise is a small spot
    around zero, like the noise that was added. Off the cloud it calls noise what is none: the spot lies
    far from zero. RADAR does the same with images in the place of points. (Exactly in the middle of a ring
    the answer is small again: all sides pull alike.)"""),
    "notebooks/04_train_with_accelerate": ("train", """
    The same training as below, with points in the place of images: draw points, timesteps and noise, compare,
    and move every weight a little. Watch the loss fall, and the arrows turn until they point away from your
    cloud."""),
}


def place(app, doctree: nodes.document) -> None:
    """Put the toy before the first numbered section of its pages."""
    if app.env.docname not in PAGES:
        return
    stage, words = PAGES[app.env.docname]
    toy = nodes.section("", nodes.title("", TITLE), nodes.paragraph("", " ".join(words.split())),
                        nodes.raw("", f'<div class="toy" data-stage="{stage}"><p>(The toy needs '
                                      "JavaScript, which is off in this browser.)</p></div>", format="html"),
                        ids=["a-cloud-in-the-plane"], names=[])
    page = next(doctree.findall(nodes.section))
    first = next(number for number, child in enumerate(page.children) if isinstance(child, nodes.section))
    page.insert(first, toy)


def load(app, pagename: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """The scripts, on these pages only."""
    if pagename in PAGES:
        app.add_css_file(STYLE)
        for script in SCRIPTS:
            app.add_js_file(script, loading_method="defer")


def setup(app) -> dict:
    """Called by Sphinx. Placed early, so that the page's contents list the toy."""
    app.connect("doctree-read", place, priority=100)
    app.connect("html-page-context", load)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
