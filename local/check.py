#!/usr/bin/env python3
"""Look at all options of a recipe before any work starts.

    check.py all|files name=value ...

Names are those of options.sh. A value that cannot work is refused at once with the
option's name, also where only a late stage would use it; files are looked at only for
stages that run. What is in ``data/`` is not there before stage 1: after it, files are
looked at again.
"""

import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import check_programs  # beside this file

from espnet2_taste.asr.recognisers import recogniser_choices
from espnet2_taste.evaluate.scorers import meter_choices
from espnet2_taste.evaluate.testsets.layouts import LAYOUTS
from espnet2_taste.io.audio import parse_rate
from espnet2_taste.io.config import read_training_config
from espnet2_taste.io.published import models_dir
from espnet2_taste.speaker import speaker_choices
from espnet2_taste.text.segmenters import SEGMENTERS
from espnet2_taste.units import unit_extractor_choices
from espnet2_taste.vocoder import vocoder_choices

LAST_STAGE = 11
ROWS = ("copy", "text_only", "no_vq", "taste")
#: option -> lowest and highest whole number
WHOLE = {
    "nj": (1, 1024),
    "inference_nj": (1, 100_000),
    "num_nodes": (1, 10_000),
    "num_splits": (1, 100_000),
    "shard_size": (1, 1_000_000_000),
    "vocab_size": (2, 10_000_000),
    "encoder_cache_gib": (0, 1_000_000),
    "seed": (0, 2**32 - 1),
}
#: option -> what it chooses from; with a LazyChoices also a class by dotted path
CHOICES = {
    "audio_format": ("wav", "flac", "flac.ark"),
    "feats_type": ("raw", "extracted"),
    "pretrained": ("", "paper"),
    "segmenter": sorted(SEGMENTERS),
    "score_asr": (*recogniser_choices.names(), "none"),
    "long_utts": ("drop", "split", "keep"),
    "gpu_inference": ("auto", "true", "false"),
    "spk_average": ("speaker", "utterance"),
    "speaker_type": speaker_choices,
    "unit_type": unit_extractor_choices,
    "vocoder_type": vocoder_choices,
}
#: type option -> the types that a recipe trains, and the option for a trained one
TRAINED_HERE = {
    "speaker_type": (("xvector",), "speaker_model"),
    "unit_type": (("world_vq",), "units_model"),
    "vocoder_type": (("world_vq", "griffin_lim"), "vocoder_model"),
}
#: option for a configuration -> the stage that reads it
CONFIGS = {
    "speaker_config": 3,
    "meter_speaker_config": 3,
    "units_config": 3,
    "asr_config": 3,
    "taste_config": 4,
    "taslm_config": 7,
    "taslm_inference_config": 8,
}
#: option for a file or folder -> the stage that reads it
PATHS = {
    "speaker_model": 3,
    "units_model": 3,
    "vocoder_model": 6,
    "download_model": 3,
    "grammar": 9,
    "continuation_grammar": 9,
    "score_asr_model": 9,
}


class Options:
    """The options by name, and the stages that run."""

    def __init__(self, values: dict[str, str]):
        self.values = values
        stages = f"the last stage is {LAST_STAGE}, the first 1"
        for name in ("stage", "stop_stage"):
            self.whole(name, 1, LAST_STAGE, stages)
        first, last = int(self["stage"]), int(self["stop_stage"])
        if first > last:
            self.refuse("stop_stage", f"is before --stage {first}")
        skipped = self["skip_stages"].split()
        for word in skipped:
            if not word.isdecimal() or not 1 <= int(word) <= LAST_STAGE:
                self.refuse("skip_stages", f"takes numbers of stages, not '{word}'")
        self.stages = set(range(first, last + 1)) - {int(word) for word in skipped}
        self.trains = self["skip_train"] != "true"

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def refuse(self, name: str, why: str) -> None:
        """Raises ValueError."""
        value = self[name] if "\n" not in self[name] else "..."
        raise ValueError(f"--{name} {value}: {why}")

    def whole(self, name: str, low: int, high: int, why: str = "") -> None:
        """A whole number from low to high."""
        text = self[name]
        if not re.fullmatch(r"0|[1-9]\d{0,18}", text) or not low <= int(text) <= high:
            self.refuse(name, why or f"takes a whole number from {low} to {high}")


def check_numbers(options: Options) -> None:
    """Counts, seeds, seconds, rates."""
    for name, limits in WHOLE.items():
        options.whole(name, *limits)
    if options["ngpu"] != "auto" and not re.fullmatch(r"\d{1,3}", options["ngpu"]):
        raise ValueError(f"--ngpu takes a number or auto, not '{options['ngpu']}'")
    seeds = options["sampling_seeds"].split()
    if not seeds or len(set(seeds)) < len(seeds):
        options.refuse("sampling_seeds", 'takes different seeds, e.g. "0 1"')
    for seed in seeds:
        if not seed.isdecimal() or int(seed) >= 2**32:
            options.refuse("sampling_seeds", f"'{seed}' is no seed")
    seconds = {}
    for name in ("min_wav_duration", "max_wav_duration"):
        try:
            seconds[name] = float(options[name])
        except ValueError:
            seconds[name] = math.nan
        if not 0 <= seconds[name]:
            options.refuse(name, "takes seconds")
    if seconds["min_wav_duration"] >= seconds["max_wav_duration"]:
        longest = options["max_wav_duration"]
        options.refuse("min_wav_duration", f"is not below --max_wav_duration {longest}")
    if options["fs"] != "native":
        try:
            rate = parse_rate(options["fs"])
        except ValueError as error:
            options.refuse("fs", str(error))
        if not 4000 <= rate <= 384_000:
            options.refuse("fs", "takes Hz, e.g. 16000 or 24k, or native")


def check_choices(options: Options) -> None:
    """Words of which only some exist."""
    for name, choices in CHOICES.items():
        value, names = options[name], choices
        if hasattr(choices, "names"):
            names = choices.names()
            if re.fullmatch(r"\w+(\.\w+)+", value):
                continue  # package.module.Class
        if value not in names:
            takes = f"{', '.join(names[:-1])} or {names[-1]}"
            raise ValueError(f"--{name} takes {takes}, not '{value}'")
    for word in options["meters"].split():
        if word not in meter_choices.names() and "." not in word:
            known = ", ".join(meter_choices.names())
            options.refuse("meters", f"no meter '{word}', but {known}")
    if max(options.stages, default=0) < 3:
        return  # data alone need no model
    for name, (types, model) in TRAINED_HERE.items():
        if options[name] not in types and not options[model]:
            kind = options[name]
            raise ValueError(f"--{name} {kind} is not trained here: give --{model}")
    if options["units_model"] and not options["vocoder_model"]:
        raise ValueError(
            "--units_model: a vocoder is trained with units only: give --vocoder_model"
        )


def check_rows(options: Options) -> None:
    """The recipe's own, and other trained tokenizers: <name>=<folder>."""
    names = []
    for word in options["rows"].split():
        name, equals, folder = word.partition("=")
        if not equals and name not in ROWS:
            options.refuse("rows", f"no row '{word}', but {', '.join(ROWS)}")
        if equals and (name in ROWS or not re.fullmatch(r"[A-Za-z]\w*", name)):
            options.refuse("rows", f"'{name}' cannot name a trained tokenizer")
        if equals and not Path(folder, "config.yaml").is_file():
            if options.stages & {6, 9}:
                options.refuse("rows", f"no {folder}/config.yaml")
        names.append(name)
    if len(set(names)) < len(names):
        options.refuse("rows", "two rows have one name")


def check_names(options: Options) -> None:
    """What becomes names of files and folders, or words of a command line."""
    for name in ("train_set", "valid_set", "test_sets"):
        words = options[name].split()
        if name != "test_sets" and len(words) != 1:
            options.refuse(name, "takes one name")
        if not words and options.stages & {6, 8, 9, 10}:
            options.refuse(name, "name a set, or --stop_stage 5")
        for word in words:
            if not re.fullmatch(r"\w[\w.+-]*", word):
                options.refuse(name, f"'{word}' is no name of a folder in data/")
    for name in ("tag", "inference_tag"):
        if not re.fullmatch(r"[\w.,+-]*", options[name]):
            options.refuse(name, "takes letters, digits and . , + - _")
    for name in ("taste_model", "taslm_model"):
        if not re.fullmatch(r"\w[\w.-]*\.pth", options[name]):
            options.refuse(name, "takes the name of a checkpoint, e.g. 3epoch.pth")
    for name in ("dumpdir", "expdir", "results", "packed_model"):
        if re.search(r"[\s,:*?\[\]{}$`'\"\\|;&<>()!#~]", options[name]):
            options.refuse(name, "takes a path without spaces and special characters")
        folder = os.path.normpath(options[name] or ".")
        if name.endswith("dir") and folder in ("/", "."):
            options.refuse(name, "takes a folder of its own")
    for name in ("speaker_conf", "units_conf", "vocoder_conf", "meter_conf"):
        for word in options[name].split():
            if not re.fullmatch(r"[A-Za-z_][\w.]*=.*", word):
                options.refuse(name, f"'{word}': expected name=value")
    if options["hf_repo"]:
        parts = options["hf_repo"].split("/")
        good = [re.fullmatch(r"\w([\w.-]{0,94}\w)?", part) for part in parts]
        if len(parts) != 2 or not all(good) or re.search(r"--|\.\.", "".join(parts)):
            options.refuse("hf_repo", "takes user/name on Hugging Face")


def check_transcripts(options: Options) -> None:
    """Whose text is a recogniser's, and which."""
    names = ("train_set", "valid_set", "test_sets")
    sets = [word for name in names for word in options[name].split()]
    said = []
    for word in options["transcripts"].split():
        name, equals, how = word.rpartition("=")
        if how not in ("text", "asr"):
            options.refuse(
                "transcripts", f"'{word}': text, asr, <set>=text or <set>=asr"
            )
        if equals and name not in sets:
            known = ", ".join(dict.fromkeys(sets))
            options.refuse("transcripts", f"no set '{name}', but {known}")
        said.append(name)
    if len(set(said)) < len(said):
        options.refuse("transcripts", "says of one set twice")
    if (
        "asr" not in re.split(r"[\s=]", options["transcripts"])
        or 2 not in options.stages
    ):
        return
    own = "--asr" in options["transcripts_args"].split()
    if not own and options["score_asr"] == "none":
        options.refuse(
            "transcripts", "by which recogniser? --transcripts_args '--asr ...'"
        )
    model = options["score_asr_model"] or "--asr_model" in options["transcripts_args"]
    if not own and options["score_asr"] == "whisper" and not model:
        options.refuse("transcripts", "Whisper's weights: give --score_asr_model")
    if not own and options["score_asr_model"]:
        check_path("score_asr_model", options["score_asr_model"])


def check_path(option: str, path: str) -> None:
    """A file or a folder with something in it; another form may be a name on a hub."""
    if path.startswith("data/"):
        if not Path("data/.done_data").is_file():
            return  # stage 1 makes it
    elif not re.match(r"/|\./|\.\./", path) and not re.search(
        r"\.(yaml|yml|pth|onnx|zip|jsgf)$", path
    ):
        return
    if not Path(path).exists():
        models = models_dir()
        get = ""
        if models and Path(path).is_relative_to(models):
            get = " (python -m espnet2_taste.bin.download paper)"
        raise ValueError(f"--{option}: no {path}{get}")
    if Path(path).is_dir() and not any(Path(path).iterdir()):
        raise ValueError(f"--{option}: {path} is empty")


def check_files(options: Options) -> None:
    """What stages that run will open."""
    for name, stage in PATHS.items():
        if options[name] and stage in options.stages:
            check_path(name, options[name])
    for item in options["testsets"].split() if 8 in options.stages else ():
        name, colon, rest = item.partition(":")
        layout, equals, folder = rest.partition("=")
        if not colon or not equals or not re.fullmatch(r"\w[\w.-]*", name):
            raise ValueError(f"--testsets '{item}': expected name:layout=folder")
        if layout not in LAYOUTS:
            known = ", ".join(LAYOUTS)
            raise ValueError(f"--testsets '{item}': no layout {layout}, but {known}")
        check_path("testsets", folder)
        if Path(folder).is_file():
            raise ValueError(f"--testsets: {folder} is no folder")
    names = [item.partition(":")[0] for item in options["testsets"].split()]
    if len(set(names)) < len(names):
        raise ValueError("--testsets: two sets have one name")
    for part in ("text_only", "no_vq", "taste", "baseline", "taslm"):
        folder = options[f"{part}_exp"]
        if folder and not Path(folder).is_dir():
            raise ValueError(f"--{part}_exp: no {folder}")
    asr, model = options["score_asr"], options["score_asr_model"]
    described = {"whisper": "config.json", "espnet": "config.yaml"}.get(asr)
    if described and 9 in options.stages:
        if not model and "model=" not in options["score_args"]:
            raise ValueError(f"--score_asr {asr}: give --score_asr_model")
        if model and Path(model).is_dir() and not Path(model, described).is_file():
            options.refuse("score_asr_model", f"has no {described}, as {asr}'s have")


def check_configs(options: Options) -> None:
    """YAML files, with the files they are based on."""
    for name, stage in CONFIGS.items():
        path, model = options[name], f"{name.partition('_')[0]}_model"
        unused = name in ("speaker_config", "units_config") and options[model]
        training = name != "taslm_inference_config"
        if not path or unused or stage not in options.stages:
            continue
        if training and not options.trains:
            continue
        paths = [path]
        if name == "taste_config":
            if path.count("%") != 1 or path.count("%s") != 1:
                options.refuse(name, "takes a path with one %s, for the sub-stage")
            paths = [path % sub_stage for sub_stage in ("text_only", "no_vq", "rvq")]
        for path in paths:
            if not Path(path).is_file():
                raise ValueError(f"--{name}: no {path}")
            try:
                read_training_config(path)
            except (ValueError, OSError) as error:
                raise ValueError(f"--{name}: {error}") from None


CHECKS: tuple[Callable[[Options], None], ...] = (
    check_numbers,
    check_choices,
    check_rows,
    check_names,
    check_transcripts,
    check_files,
    check_configs,
    lambda options: check_programs.check(options.values, options.stages),
)


def main(words: list[str]) -> None:
    options = Options(dict(word.split("=", 1) for word in words[1:]))
    for check in CHECKS if words[0] == "all" else [check_files]:
        check(options)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError) as problem:
        sys.exit(f"error: {problem}")
