"""Import every module of the package, and say on what machine.

python -m benchmarks.imports --device cuda --output imports.json
"""

import argparse
import importlib
import json
import pkgutil
import sys
import traceback
from importlib.util import find_spec
from pathlib import Path

#: Module -> who needs it: parts that say so when they are used without.
OPTIONAL = {
    "pyworld": "F0, prosody, MCD, world_vq",
    "flash_attn": "flash_attention_2",
    "onnxruntime": "s3, campplus, DNSMOS",
    "s3tokenizer": "s3",
    "speechmos": "DNSMOS",
    "pocketsphinx": "the default recogniser",
    "espeakng_loader": "the mini corpus",
    "PIL": "attention maps",
}


def import_all(package: str = "espnet2_taste") -> tuple[int, dict[str, str]]:
    """How many modules were imported, and module -> reason of those that were not."""
    failed, count = {}, 0
    path = importlib.import_module(package).__path__
    for module in pkgutil.walk_packages(path, f"{package}."):
        try:
            importlib.import_module(module.name)
            count += 1
        except Exception as error:  # whatever it is, the others are to be tried
            traceback.print_exc()
            failed[module.name] = f"{type(error).__name__}: {error}"
    return count, failed


def main(cmd: list[str] | None = None) -> int:
    """Print; 1 if a module cannot be imported or the device cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="torch device")
    parser.add_argument("--output", type=Path, help="the machine, to this .json file")
    args = parser.parse_args(cmd)
    import torch

    from benchmarks.measure import machine

    about = machine(torch.device("cpu"))
    try:
        torch.ones(2, device=args.device).sum().item()
        about = machine(torch.device(args.device))
    except Exception as error:
        traceback.print_exc()
        unusable = {args.device: f"{type(error).__name__}: {error}"}
    else:
        unusable = {}
    for name, value in about.items():
        print(f"{name}: {value}")
    if args.output:
        args.output.write_text(json.dumps({"machine": about, "rows": {}}, indent=2))
    count, failed = import_all()
    for name, reason in (failed | unusable).items():
        print(f"{name}: {reason}")
    absent = [name for name in OPTIONAL if find_spec(name) is None]
    for name in absent:
        print(f"no {name}: needed by {OPTIONAL[name]}")
    missing = f", without {', '.join(absent)}" if absent else ""
    broken = f", {len(failed)} FAILED" if failed else ""
    print(f"{count} modules{broken}{missing}")
    return 1 if failed or unusable else 0


if __name__ == "__main__":
    sys.exit(main())
