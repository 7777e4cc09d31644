#!/usr/bin/env python3
"""Stands for Python in taste.sh: notes each program in ``calls`` and, with its options,
in ``command_lines``; fakes what it makes.

What a program makes depends on the content of its inputs only through ``weights``, a
file that a test may change: trained models contain it.
"""

import json
import os
import shutil
import sys
from pathlib import Path

TABLES = {
    "extract_speakers": ["spk_emb.scp"],
    "extract_units": ["units.scp"],
    "extract_world": ["feats.scp", "feats_shape"],
    "align": ["f0_sum.scp", "prosody.scp", "borders.scp", "words.ctm"],
    "extract_feats": ["feats.scp"],
    "transcribe": ["text"],
    "tokenize": ["taste.scp"],
    "synthesize": ["wav.scp", "units.scp", "text"],
    "taslm_generate": ["text", "taste.scp", "spk_emb.scp", "utt2spk", "prompt_text"],
    "measure": ["measured"],
    "taslm_train": [],
}
FILES = {"extract_units": ["unit_spec.yaml"]}
MODELS = ["checkpoint.pth", "config.yaml", "valid.loss.best.pth"]


def write(path, text="made\n"):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def keys_of(table):
    return [line.split()[0] for line in Path(table).read_text().splitlines()]


def main(words):
    if words[0] != "-m":
        os.execvp("python3", ["python3", *words])
    asked, module, words = words, words[1], words[2:]
    name = module.rpartition(".")[2]
    options = {k: v for k, v in zip(words, words[1:], strict=False) if k[0] == "-"}
    out = Path(options.get("--output_dir", "nowhere"))
    if name in ("config", "datadir") and words[0] not in ("merge", "fix"):
        os.execvp("python3", ["python3", "-m", module, *words])
    weights = Path("weights").read_text() if Path("weights").exists() else "1"
    if name == "launch":
        module = words[words.index("-m") + 1]
        name = module.rpartition(".")[2]
        for model in MODELS:
            write(out / model, weights)
    elif name == "datadir":
        if words[0] == "merge":
            for path in Path(words[1]).glob("output.1/*"):
                shutil.copy(path, words[2])
        return
    elif name == "format_wav":
        shutil.copytree(words[0], words[1], dirs_exist_ok=True)
        out = Path(words[1])
        write(out / "sample_rate")
        shutil.copy(out / "text", out / "utt2num_samples")
    elif name == "take_transcripts":
        shutil.copytree(options["--data_dir"], out, dirs_exist_ok=True)
        write(out / "transcripts.json", "{}")
    elif name == "split_scps":
        scps = words[words.index("--scps") + 1 :]
        for scp in scps:
            write(out / Path(scp).name / "num_splits")
    elif name in ("train_tokenizer", "count_tokens"):
        write(options["--output"])
    elif name == "extract_speakers" and "--average" in options:
        for table in ("spk_emb.scp", "spk_embed_dim", "speakers.scp"):
            write(out / table, "8\n")
    elif name == "align" and "--speaker_mean" in options:
        write(out / "relative/prosody.scp")
        write(out / "speakers.scp")
    elif name == "durations":
        write(out / "durations.scp")
    elif name == "judge":
        write(out / "judge_prompts.jsonl")
    elif name == "score":
        for file in ("results.json", "statistics.npz"):
            write(out / file)
    elif name == "report":
        write(options["--results"])
        write(options["--html"])
    elif name == "pack":
        write(options["--output"])
    else:
        keys = keys_of(options["--key_file"])
        for table in TABLES[name]:
            write(out / table, "".join(f"{key} made\n" for key in keys))
        for file in FILES.get(name, []):
            write(out / file)
        write(out / ".done", json.dumps({}))
    with open("command_lines", "a") as file:
        file.write(
            json.dumps(words[words.index("-m") :] if "-m" in words else asked) + "\n"
        )
    what = options.get("--data_dir", str(out))
    if name == "format_wav":
        what = words[0]
    with open("calls", "a") as file:
        file.write(f"{name} {what}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
