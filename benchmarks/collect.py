"""What the steps of gpu_check.sh left, as one table; needs nothing but Python.

python -m benchmarks.collect STEPS_FOLDER OUTPUT_FOLDER
"""

import json
import sys
from pathlib import Path

from benchmarks.table import Row, markdown

NAME = "gpu_check"


def collect(steps: Path) -> tuple[dict, str]:
    """Everything as JSON, and the Markdown of it.

    Args:
        steps: holds steps.tsv (name, status, seconds, fact) and ``<step>.json`` as
            benchmarks.run and benchmarks.imports write them.
    """
    lines = (steps / "steps.tsv").read_text(encoding="utf-8").splitlines()
    fields = ("name", "status", "seconds", "fact")
    done = [dict(zip(fields, line.split("\t"), strict=True)) for line in lines]
    machine: dict[str, str] = {}
    rows: dict[str, list[Row]] = {}
    for step in done:
        path = steps / f"{step['name']}.json"
        if not path.is_file():
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        machine = found["machine"] | machine
        command = found["machine"].get("command", "")
        for name, values in found["rows"].items():
            # the tiny configuration tells that all runs, its times nobody needs
            if "--config tiny" not in command or len(found["rows"]) == 1:
                rows[name] = [Row(**value) for value in values]
    machine.pop("command", None)
    table = ["| step | | seconds | |", "|---|---|--:|---|"]
    for step in done:
        cells = (step["name"], step["status"], step["seconds"])
        table.append("| " + " | ".join((*cells, step["fact"].replace("|", "/"))) + " |")
    text = "\n".join(table) + "\n\n" + markdown(rows, machine)
    values = {name: [vars(row) for row in found] for name, found in rows.items()}
    return {"machine": machine, "steps": done, "rows": values}, text


def main(steps: str, output: str) -> None:
    """Write gpu_check.json and gpu_check.md."""
    everything, text = collect(Path(steps))
    (Path(output) / f"{NAME}.json").write_text(json.dumps(everything, indent=2))
    (Path(output) / f"{NAME}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
