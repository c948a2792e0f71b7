"""The report as HTML and PDF, beside `report.md`: `python docs/report/build.py`. The PDF needs Chromium.

The PDF's title holds a fingerprint of `report.md`, so that a test can tell a PDF of older numbers.
"""

import base64
import hashlib
import re
import sys
from pathlib import Path

from markdown_it import MarkdownIt

HERE = Path(__file__).parent
STYLE = """
@page { size: A4; margin: 17mm 16mm 16mm; }
body { font: 10pt/1.4 Georgia, "DejaVu Serif", serif; color: #111;
       max-width: 178mm; margin: 1em auto; padding: 0 1em; }
h1 { font-size: 17pt; line-height: 1.2; margin: 0 0 .4em; }
h2 { font-size: 12pt; margin: 1.1em 0 .3em; break-after: avoid; }
p { margin: .45em 0; } p:has(+ table) { break-after: avoid; } code { font-size: .88em; }
table { border-collapse: collapse; width: 100%; margin: .5em 0; font-size: 8.4pt; break-inside: avoid; }
th { text-align: left; border-bottom: 1.2px solid #111; }
td { border-bottom: .5px solid #bbb; vertical-align: top; }
img { width: 72%; display: block; margin: .8em auto .2em; }
th, td { padding: 2px 6px 2px 0; }
@media print { body { margin: 0; padding: 0; } }
@media (prefers-color-scheme: dark) and (not print) {
  body { background: #16181c; color: #e6e6e6; }
  a { color: #8ab4f8; }
}
"""
FOOTER = ('<div style="font-size:7pt;width:100%;text-align:center"><span class="pageNumber"></span> / '
          '<span class="totalPages"></span></div>')


def fingerprint() -> str:
    """Twelve digits that belong to the text and numbers of `report.md`."""
    return hashlib.sha256((HERE / "report.md").read_bytes()).hexdigest()[:12]


def page() -> str:
    """The report as HTML that needs no other file; links into the repository become plain text."""
    body = MarkdownIt("commonmark").enable("table").render((HERE / "report.md").read_text(encoding="utf-8"))
    body = re.sub(r'<a href="(?!https?:)[^"]*">(.*?)</a>', r"\1", body)
    body = re.sub(r'src="([^"]+[.]png)"', lambda found: f'src="{picture(found[1])}"', body)
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width">\n'
            f"<title>RADAR reproduced, tables {fingerprint()}</title>\n<style>{STYLE}</style>\n</head>\n"
            f"<body>\n{body}</body>\n</html>\n")


def picture(name: str) -> str:
    """A PNG as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode((HERE / name).read_bytes()).decode()


def main() -> int:
    """Write `report.html`, then print it to `report.pdf`; status 1 where there is no Chromium."""
    from playwright.sync_api import Error, sync_playwright
    html = HERE / "report.html"
    html.write_text(page(), encoding="utf-8")
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium())
            tab = browser.new_page()
            tab.set_content(page())
            tab.pdf(path=HERE / "report.pdf", prefer_css_page_size=True, display_header_footer=True,
                    header_template="<span></span>", footer_template=FOOTER)
            browser.close()
    except Error as error:
        print(f"{html} written, no PDF: {str(error).splitlines()[0]}; install Chromium", file=sys.stderr)
        return 1
    print(f"{html} and report.pdf written")
    return 0


def find_chromium() -> str | None:
    """Chromium or Chrome on the path, else Playwright's own."""
    from shutil import which
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(which, names)), None)


if __name__ == "__main__":
    sys.exit(main())
