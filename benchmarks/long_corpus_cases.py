"""What a recipe runs on a long manifest: commands, and how they are watched."""

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import yaml

from benchmarks.long_corpus_data import WIDTH, tiny_system
from benchmarks.setup import ROOT
from benchmarks.table import Row
from benchmarks.watch import case, watch

BIN = [sys.executable, "-m"]


def chosen(cases: list[tuple], folder: Path, args: argparse.Namespace) -> Iterator:
    """Rows of the cases whose names are asked for."""
    for name, *rest in cases:
        if args.cases in name:
            yield case(name, *rest[:1], folder, *rest[1:])


def program(name: str, *words) -> list:
    return [*BIN, f"espnet2_taste.bin.{name}", *words]


def steps(folder: Path, args: argparse.Namespace) -> Iterator[Iterator[Row]]:
    """What reads or writes whole tables."""
    raw, out = folder / "raw", folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    keys = [out / f"keys.{i + 1}" for i in range(args.nj)]
    split = [ROOT / "local" / "split_scp.pl", raw / "wav.scp", *keys]
    halves = out / "half.1", out / "half.2"
    spk_emb = ["--data_dir", raw, "--spk_emb", raw / "spk_emb.scp"]
    mark = [sys.executable, ROOT / "local" / "mark.py", "todo", out / "mark"]
    fixed = out / "fixed"

    def datadir(*words) -> list:
        return program("datadir", *words)

    def tokenizer(kind: str) -> list:
        words = ["--data_dir", raw, "--token_type", kind, "--output", out / kind]
        return program("train_tokenizer", *words)

    def prepared(name: str, make: Callable[[], None], command: list):
        if args.cases in name:
            make()
            yield case(name, command, folder)

    yield from chosen(
        [
            ("is a step done? (mark.py)", [*mark, f"{raw}/wav.scp {raw}/text", "", ""]),
            ("split into shards", split),
            ("datadir validate", datadir("validate", raw)),
            ("datadir disjoint", datadir("disjoint", raw, folder / "test")),
            ("datadir subset", datadir("subset", raw, out / "few", "--per_spk", 100)),
            ("datadir copy", datadir("copy", raw, out / "sp", "--utt_prefix", "sp-")),
        ],
        folder,
        args,
    )
    yield from prepared(
        "datadir fix",
        lambda: _copy(raw, fixed, "units.scp", slice(1, None)),
        datadir("fix", fixed),
    )
    yield from prepared(
        "datadir combine",
        lambda: _halve(raw, halves),
        datadir("combine", *halves, "--target", out / "both"),
    )
    yield from prepared(
        "datadir merge (outputs of shards)",
        lambda: _shards(raw, out / "units", args.nj),
        datadir("merge", out / "units", out / "units"),
    )
    words = ["--layout", "folder", "--root", raw, "--output_dir", out / "prepared"]
    splits = ["--num_splits", args.num_splits, "--output_dir", out / "splits", "--scps"]
    splits += [raw / name for name in TRAINING if name != "f0_sum.scp"]
    average = ["--average", "speaker", "--output_dir", out / "averaged"]
    yield from chosen(
        [
            ("prepare_corpus", program("prepare_corpus", *words)),
            ("train_tokenizer, characters", tokenizer("char")),
            ("train_tokenizer, sentencepiece", tokenizer("bpe")),
            ("speakers' means", program("extract_speakers", *spk_emb, *average)),
        ],
        folder,
        args,
    )
    yield from prepared(
        "pitch relative to speakers",
        lambda: _copy(raw, out / "align"),
        program("align", "--speaker_mean", "--data_dir", raw)
        + ["--output_dir", out / "align"],
    )
    borders = ["--borders", raw / "borders.scp", "--units", raw / "units.scp"]
    borders += ["--output_dir", out / "durations"]
    yield from chosen(
        [
            ("units of words", program("durations", *borders)),
            ("split for training", [*BIN, "espnet2.bin.split_scps", *splits]),
        ],
        folder,
        args,
    )


TRAINING = "wav.scp text units.scp spk_emb.scp durations.scp prosody.scp taste.scp"
TRAINING = [*TRAINING.split(), "utt2num_samples"]


def _copy(raw: Path, target: Path, changed: str = "", lines: slice = slice(0)) -> None:
    """A set's tables, one of them without some lines."""
    shutil.copytree(raw, target)
    if changed:
        kept = (raw / changed).read_text().splitlines(keepends=True)[lines]
        (target / changed).write_text("".join(kept))


def _halve(raw: Path, halves: tuple[Path, Path]) -> None:
    """Speakers are whole in each."""
    for part, half in enumerate(halves):
        half.mkdir()
        for name in (*TRAINING, "utt2spk"):
            lines = (raw / name).read_text().splitlines(keepends=True)
            middle = len(lines) // 2
            kept = lines[middle:] if part else lines[:middle]
            (half / name).write_text("".join(kept))


def _shards(raw: Path, folder: Path, nj: int) -> None:
    """Units as jobs leave them."""
    lines = (raw / "units.scp").read_text().splitlines(keepends=True)
    for i in range(nj):
        shard = folder / f"output.{i + 1}"
        shard.mkdir(parents=True)
        kept = lines[len(lines) * i // nj : len(lines) * (i + 1) // nj]
        (shard / "units.scp").write_text("".join(kept))
        (shard / ".done").write_text('{"tables": ["units.scp"], "files": []}')


def commands(folder: Path) -> dict[str, list]:
    """Program -> its command for a shard of the set."""
    raw, exp = folder / "raw", folder / "models" / "exp"
    config = folder / "models" / "train.yaml"
    frontend = {"n_mels": 80, "pad_to_30s": False}
    conf = {"model_conf": {"num_ceps": 8}, "frontend_conf": frontend}
    config.write_text(yaml.safe_dump(conf))
    taste = ["--model_file", exp / "taste" / "valid.acc.best.pth"]
    taslm = ["--model_file", exp / "taslm" / "valid.loss.best.pth"]
    vocoder = ["--vocoder_type", "world_vq", "--vocoder", exp / "units"]
    codes = ["--taste", raw / "taste.scp"]
    asr = [
        "--asr_config",
        exp / "asr/config.yaml",
        "--asr_model",
        exp / "asr/model.pth",
    ]
    words = {
        "extract_speakers": ["--model_type", "xvector", "--model", exp / "speaker"],
        "extract_world": ["--config", config],
        "extract_units": ["--model_type", "world_vq", "--model", exp / "units"],
        "align": asr,
        "extract_feats": ["--config", config],
        "tokenize": taste,
        "synthesize, units": ["--condition", "units", *vocoder],
        "synthesize, codes": ["--condition", "codes", *codes, *taste, *vocoder],
        "taslm_generate": [*codes, *taslm],
        "taslm_generate, 3 s": [*codes, *taslm, "--prompt_seconds", 0.3]
        + ["--ctm", raw / "words.ctm"],
        "taslm_generate, shuffled": [*codes, *taslm, "--prompt_codes", "shuffled"],
        "taslm_likelihood": [*codes, *taslm],
    }
    return {
        name: program(name.partition(",")[0], *more, "--data_dir", raw)
        for name, more in words.items()
    }


def workers(folder: Path, args: argparse.Namespace) -> Iterator[Iterator[Row]]:
    """A shard's worker of each stage, up to its first outputs."""
    out = folder / "work"
    for name, command in commands(folder).items():
        shutil.rmtree(out, ignore_errors=True)
        command += ["--output_dir", out, "--key_file", folder / "keys.1"]
        if args.cases in name:
            yield case(name, command, folder, partial(_size, out / ".journal"))
    shutil.rmtree(out, ignore_errors=True)
    name = "format_wav (of all shards)"
    if args.cases in name:
        command = program("format_wav", folder / "raw", out, "--nj", 2)
        yield case(name, command, folder, partial(_has_files, out / "wav"))
    shutil.rmtree(out, ignore_errors=True)


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def resumed(folder: Path, args: argparse.Namespace) -> Iterator[Iterator[Row]]:
    """A shard's worker is killed and started again: what was written stays."""
    out = folder / "resumed"
    shutil.rmtree(out, ignore_errors=True)
    if args.cases not in "resumed":
        return
    command = commands(folder)["extract_speakers"]
    command += ["--output_dir", out, "--key_file", folder / "keys.1"]
    command += ["--batch_size", 64]
    journal = out / ".journal"
    half = args.lines // args.nj // 64 // 2
    watch(
        list(map(str, command)),
        folder / "log",
        lambda: _size(journal) > 0 and journal.read_bytes().count(b"\n") > half,
    )
    before = journal.read_bytes()
    done = before.count(b"\n")
    name = f"resumed after {done * 64} utterances"
    rows = list(case(name, command, folder, lambda: _size(journal) > len(before)))
    kept = before[: before.rfind(b"\n") + 1]
    if not journal.read_bytes().startswith(kept):
        raise RuntimeError("a resumed worker changed what was written")
    yield iter(rows)
    shutil.rmtree(out, ignore_errors=True)


def training(folder: Path, args: argparse.Namespace) -> Iterator[Iterator[Row]]:
    """Training of the tokenizer up to its first steps, whole tables and in parts."""
    raw, test, models = folder / "raw", folder / "test", folder / "models"
    data = {"wav.scp": "speech,sound", "text": "text,text"}
    for name in ("units", "spk_emb", "durations", "prosody"):
        data[f"{name}.scp"] = f"{name},kaldi_ark"
    for parts in (1, args.num_splits):
        name = f"taste_train, tables in {parts} parts" if parts > 1 else "taste_train"
        if args.cases not in name:
            continue
        tables = raw
        if parts > 1:
            tables = folder / "splits"
            if not tables.is_dir():
                scps = [raw / table for table in (*data, "utt2num_samples")]
                words = ["--num_splits", parts, "--output_dir", tables, "--scps", *scps]
                split = [*BIN, "espnet2.bin.split_scps", *words]
                watch(list(map(str, split)), folder / "log")
                shutil.copy(raw / "unit_spec.yaml", tables)
        exp = folder / "exp"
        shutil.rmtree(exp, ignore_errors=True)
        command = program("taste_train", "--config", train_config(models))
        command += ["--output_dir", exp]
        for part, where in (("train", tables), ("valid", test)):
            for table, kind in data.items():
                option = f"--{part}_data_path_and_name_and_type"
                command += [option, f"{where / table},{kind}"]
            command += [f"--{part}_shape_file", where / "utt2num_samples"]
        command += ["--multiple_iterator", "true"] * (parts > 1)
        log = folder / "log"
        at = _size(log)
        yield case(name, command, folder, partial(_trains, log, at))
        shutil.rmtree(exp, ignore_errors=True)


def _trains(log: Path, start: int) -> bool:
    """Whether it has said so after ``start`` bytes."""
    with open(log, "rb") as file:
        file.seek(start)
        return b"1epoch:train:1-" in file.read()


def train_config(models: Path) -> Path:
    """Of a tiny tokenizer; data options as in conf/train_taste*.yaml."""
    conf = dict(tiny_system().TASTE) | {"spk_embed_dim": WIDTH}
    del conf["num_units"], conf["vocab_size"]
    conf["token_model"] = str(models / "data/token_list/chars.txt")
    conf |= {"batch_type": "numel", "batch_bins": 1_000_000, "max_epoch": 1}
    conf |= {"num_workers": 1, "num_att_plot": 0, "log_interval": 5, "optim": "adamw"}
    conf |= {"use_tensorboard": False, "unused_parameters": True}
    path = models / "train_taste.yaml"
    path.write_text(yaml.safe_dump(conf))
    return path
