"""How mkdocs finds the pages of this repository.

Every page lies where GitHub shows it, and keeps its path on the site, so that relative
links are right in both. Files that pages link to, such as configurations, are copied.
Two pages are made here: the notebook as text, and the list of commands.
"""

import ast
import json
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
NOTEBOOK, NOTEBOOK_PAGE = "docs/quickstart.ipynb", "docs/quickstart.md"
COMMANDS = "docs/commands.md"
BIN = ROOT / "espnet2_taste" / "bin"
STYLE = "docs/site.css"
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
#: Sphinx's roles, which editors know but this site does not
ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):(?=<code>)")
TARGET = re.compile(r"<code>~[\w.]+?(\w+)</code>")


def on_files(files, config):
    """Replace what lies in docs/ by all pages of the navigation and what they need."""
    for file in list(files):
        if file.abs_src_path and Path(file.abs_src_path).is_relative_to(ROOT / "docs"):
            files.remove(file)
    made = {NOTEBOOK_PAGE: notebook_text(ROOT / NOTEBOOK), COMMANDS: command_list()}
    pages = dict.fromkeys(pages_of(config.nav))
    others = {STYLE: None}
    for name in pages:
        if name in made:
            files.append(File.generated(config, name, content=made[name]))
        elif (ROOT / name).is_file():  # or mkdocs says that it is not there
            add(files, config, name)
            others |= dict.fromkeys(linked_files(name))
    for name in others.keys() - pages.keys():
        add(files, config, name)
    return files


def on_page_markdown(markdown, page, **_):
    """Links to the notebook lead to its page, which has the file."""
    if page.file.src_uri == NOTEBOOK_PAGE:
        return markdown
    return markdown.replace("quickstart.ipynb)", "quickstart.md)")


def on_page_content(html, **_):
    """Names in docstrings without the markup of their kind."""
    return TARGET.sub(r"<code>\1</code>", ROLE.sub("", html))


def add(files, config, name: str) -> None:
    files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))


def pages_of(nav) -> list[str]:
    """Paths in a navigation, in their order."""
    if isinstance(nav, str):
        return [nav]
    items = nav.values() if isinstance(nav, dict) else nav
    return [path for item in items for path in pages_of(item)]


def linked_files(name: str) -> list[str]:
    """Files of the repository that a page links to, pages among them."""
    folder, found = (ROOT / name).parent, []
    for target in LINK.findall((ROOT / name).read_text(encoding="utf-8")):
        path = (folder / target).resolve()
        if path.is_file() and path.is_relative_to(ROOT):
            found.append(path.relative_to(ROOT).as_posix())
    return found


def notebook_text(path: Path) -> str:
    """A notebook's texts and code as Markdown."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(f"```python\n{text}\n```" if cell["cell_type"] == "code" else text)
    return "\n\n".join(parts) + "\n"


def command_list() -> str:
    """All commands with the first paragraph of what they say of themselves."""
    rows = []
    for path in sorted(BIN.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        if "main" in names:
            about = (ast.get_docstring(tree) or "").partition("\n\n")[0]
            about = " ".join(about.split()).replace("``", "`").replace("|", r"\|")
            rows.append(f"| `{path.stem}` | {about} |")
    return "\n".join(
        [
            "# Commands",
            "",
            "`python -m espnet2_taste.bin.<command> --help` lists the options of each.",
            "",
            "| command | what it does |",
            "|---|---|",
            *rows,
            "",
        ]
    )
