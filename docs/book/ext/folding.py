"""Code that is not the idea is folded away in the book: drawing, imports and settings. A click opens it.

A cell gets the tag `hide-input` when the page is made; the notebooks themselves stay as they are.
"""

import ast
import json

DRAWING = ("show", "draw_", "image_row", "detection_figure", "new_figure", "figure", "axes", "axis", "left",
           "right", "middle", "top", "bottom", "picture", "print", "progress")
SHARE = 0.6  # of a cell's lines


def draws(statement: ast.stmt) -> bool:
    """Whether a statement draws or prints and does nothing else."""
    if isinstance(statement, (ast.For, ast.If, ast.With)):
        return all(draws(inner) for inner in statement.body)
    called = [node.func for node in ast.walk(statement) if isinstance(node, ast.Call)]
    if isinstance(statement, (ast.Expr, ast.Assign)) and called:
        while isinstance(called[0], (ast.Attribute, ast.Subscript, ast.Call)):
            called[0] = called[0].func if isinstance(called[0], ast.Call) else called[0].value
        return isinstance(called[0], ast.Name) and called[0].id.startswith(DRAWING)
    return False


def prepares(statement: ast.stmt) -> bool:
    """Whether a statement imports something, takes something from the kit, or prints."""
    if isinstance(statement, ast.Assign):
        used = {node.id for node in ast.walk(statement.value) if isinstance(node, ast.Name)}
        return bool(used) and used <= {"Kit", "kit", "profile", "dataset", "seed"}
    return isinstance(statement, (ast.Import, ast.ImportFrom)) or (isinstance(statement, ast.Expr)
                                                                   and draws(statement))


def folded(code: str, tags: list[str]) -> bool:
    """Whether a cell is folded: settings, cells that only prepare or mostly draw, and answers that the page
    itself can take.
    """
    try:
        body = ast.parse(code).body
    except SyntaxError:  # a magic command
        return False
    lines = {True: 0, False: 0}
    for statement in body:
        lines[draws(statement)] += statement.end_lineno - statement.lineno + 1
    shown = "show(" in code and lines[True] >= SHARE * sum(lines.values())
    return "parameters" in tags or shown or ".check(answer)" in code or all(map(prepares, body))


def fold(app, docname: str, source: list[str]) -> None:
    """Tag the cells of a notebook that are folded."""
    if not docname.startswith("notebooks/"):
        return
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags", [])
        if cell["cell_type"] == "code" and folded("".join(cell["source"]), tags):
            cell["metadata"]["tags"] = [*tags, "hide-input"]
    source[0] = json.dumps(notebook)


def setup(app) -> dict:
    """Called by Sphinx."""
    app.connect("source-read", fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
