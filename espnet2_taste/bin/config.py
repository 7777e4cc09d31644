"""What a training configuration says, with what its ``base`` says: as YAML.

With ``--digest``, a short digest of some of its options instead: folders of what is
made with these options have it in their name.
"""

import argparse
import hashlib
import json
from pathlib import Path

import yaml

from espnet2_taste.bin import command, run
from espnet2_taste.io.atomic import write_text
from espnet2_taste.io.config import read_training_config


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="YAML file")
    parser.add_argument(
        "--digest", nargs="+", metavar="OPTION", help="of which options"
    )
    parser.add_argument("--output", type=Path, help="file to write (default: stdout)")
    return parser


@command(get_parser)
def main(args: argparse.Namespace) -> None:
    conf = read_training_config(args.config)
    if args.digest:
        content = json.dumps(
            {key: conf.get(key) for key in args.digest}, sort_keys=True
        )
        print(hashlib.sha256(content.encode()).hexdigest()[:8])
    elif args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        write_text(args.output, yaml.safe_dump(conf))
    else:
        print(yaml.safe_dump(conf, sort_keys=False), end="")


if __name__ == "__main__":
    run(main)
