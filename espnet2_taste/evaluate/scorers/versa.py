"""VERSA's metrics: its scorer runs as a command, its JSON lines become ours.

Source: J. Shi et al., "VERSA: a versatile evaluation toolkit for speech, audio, and
music" (NAACL 2025).
"""

import ast
import hashlib
import json
import logging
import math
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import soundfile

from espnet2_taste.evaluate.scorers.abs_scorer import (
    AbsScorer,
    Column,
    Recording,
    Unavailable,
)
from espnet2_taste.evaluate.scorers.dnsmos import DnsmosScorer
from espnet2_taste.evaluate.scorers.reading import SAMPLE_RATE, read_speech
from espnet2_taste.evaluate.scorers.speaker import SpeakerScorer
from espnet2_taste.evaluate.scorers.utmos import UtmosScorer
from espnet2_taste.io.config import parse_yaml

INSTALL = "pip install git+https://github.com/wavlab-speech/versa"
#: A checkout's; an installed package has none and needs ``versa.config``.
DEFAULT_CONFIG = Path(__file__).parents[3] / "conf" / "versa.yaml"
_OURS = {
    c.key: c for s in (UtmosScorer, DnsmosScorer, SpeakerScorer) for c in s.columns
}
#: What VERSA may give. Entry or predictor of its configuration and field of its output
#: (behind it the older name, where it changed) -> our column.
METRICS = {
    "utmos utmos": _OURS["utmos"],
    "dnsmos dnsmos_overall dns_overall": _OURS["dnsmos"],
    "dnsmos dnsmos_p808 dns_p808": _OURS["dnsmos_p808"],
    "speaker spk_similarity": _OURS["speaker_similarity"],
    "visqol visqol": Column("visqol", "ViSQOL", "predicted similarity, 1 to 5", 2),
    "utmosv2 utmosv2": Column(
        "versa_utmosv2", "UTMOSv2", "naturalness (VERSA), 1 to 5", 2
    ),
    "plcmos plcmos": Column(
        "versa_plcmos", "PLCMOS", "gaps concealed (VERSA), 1 to 5", 2
    ),
    "nisqa nisqa_mos_pred": Column(
        "versa_nisqa", "NISQA", "quality (VERSA), 1 to 5", 2
    ),
    "sheet_ssqa sheet_ssqa": Column(
        "versa_sheet_ssqa", "SSQA", "quality (VERSA), 1 to 5", 2
    ),
    "scoreq_ref scoreq_ref": Column(
        "versa_scoreq_ref",
        "ScoreQ",
        "distance to the original (VERSA); 0 or more",
        2,
        "lower",
    ),
    "pesq pesq": Column(
        "versa_pesq", "PESQ", "quality, frame by frame (VERSA), -0.5 to 4.5", 2
    ),
    "stoi stoi": Column(
        "versa_stoi", "STOI", "intelligibility, frame by frame (VERSA), 0 to 1"
    ),
    "mcd_f0 mcd": Column(
        "versa_mcd",
        "MCD (VERSA)",
        "mel-cepstral distortion as VERSA computes it; 0 or more",
        2,
        "lower",
        "dB",
    ),
    "mcd_f0 f0_rmse f0rmse": Column(
        "versa_f0_rmse",
        "F0 RMSE (VERSA)",
        "root mean square F0 difference as VERSA computes it; 0 or more",
        2,
        "lower",
        "Hz",
    ),
    "mcd_f0 f0_corr f0corr": Column(
        "versa_f0_corr",
        "F0 PCC (VERSA)",
        "correlation of F0 as VERSA computes it, -1 to 1",
    ),
    "discrete_speech speech_bert": Column(
        "versa_speech_bert",
        "SpeechBERTScore",
        "similarity of self-supervised features (VERSA), -1 to 1",
    ),
}
#: Entries of ``conf/versa.yaml``.
USUAL = ("utmos", "dnsmos", "speaker", "visqol")


def metrics_of(entries: Iterable[str]) -> dict[str, Column]:
    """Entries of a configuration -> field of its output -> our metric."""
    found = {}
    for names, column in METRICS.items():
        entry, *fields = names.split()
        if entry in entries:
            found |= dict.fromkeys(fields, column)
    return found


# Of numpy 2 in the dictionaries that older versions print instead of JSON.
_SCALAR = re.compile(r"np\.float\d+\(([^()]*)\)")


def read_scores(lines: str) -> dict[str, dict]:
    """What the scorer wrote -> key of the recording -> field -> value."""
    scores = {}
    for line in filter(None, map(str.strip, lines.splitlines())):
        try:
            fields = json.loads(line)
        except json.JSONDecodeError:
            plain = re.sub(r"\b(nan|inf)\b", "None", _SCALAR.sub(r"\1", line))
            fields = ast.literal_eval(plain)
        scores[fields["key"]] = fields
    return scores


class VersaScorer(AbsScorer):
    """`versa`: every metric that the configuration names, means over recordings.

    Definitions, units and ranges are VERSA's. Metrics that compare with a reference get
    none where it says other words (``speaker`` included: use the ``speaker`` scorer).

    Args:
        config: YAML file for VERSA's scorer; default: ``conf/versa.yaml``.
        python: interpreter of an environment of VERSA's own: it installs another ESPnet
            than ours. Default: this one.
        device: torch device; anything but ``cpu`` lets VERSA use the GPU.
    """

    name = "versa"
    columns = tuple(dict.fromkeys(metrics_of(USUAL).values()))  # or its configuration's
    needs_reference = True
    on_device = True
    batch_size = 100_000  # its models are loaded anew every time

    def __init__(
        self,
        config: str | None = None,
        python: str | None = None,
        device: str = "cpu",
    ):
        self.config, self.device = Path(config or DEFAULT_CONFIG), device
        self.python = shutil.which(python or sys.executable)
        if self.python is None or (python is None and find_spec("versa") is None):
            raise Unavailable(
                f"VERSA: {INSTALL} in an environment of its own, then "
                "--meter_conf versa.python=<its python>"
            )
        if not self.config.is_file():
            raise Unavailable(
                f"VERSA's configuration {self.config.name}: --meter_conf "
                "versa.config=<YAML file>"
            )
        self.text = self.config.read_text(encoding="utf-8")
        entries = parse_yaml(self.text, str(self.config))
        if not isinstance(entries, list):
            raise ValueError(f"{self.config}: expected a list of metrics (- name: ...)")
        names = {entry.get("name") for entry in entries}
        names = names.union(*(entry.get("predictor_types", ()) for entry in entries))
        self.fields = metrics_of(names)
        self.columns = tuple(dict.fromkeys(self.fields.values()))

    @cached_property
    def identity(self) -> str:
        try:
            release = version("versa-speech-audio-toolkit")
        except PackageNotFoundError:
            release = "of another environment"
        digest = hashlib.sha1(self.text.encode()).hexdigest()[:8]
        return f"VERSA {release}, {self.config.name} ({digest})"

    def __call__(self, recordings: list[Recording]) -> list[dict[str, list[float]]]:
        groups: dict[bool, list[int]] = {True: [], False: []}  # with reference?
        results: list[dict[str, list[float]]] = [{} for _ in recordings]
        with tempfile.TemporaryDirectory() as folder:
            for i, recording in enumerate(recordings):
                utt, reference = recording.utt, recording.reference
                if _copy(recording.entry, utt, Path(folder) / f"pred{i}.wav"):
                    compared = (
                        reference is not None
                        and recording.same_words
                        and _copy(
                            reference,
                            f"reference of {utt}",
                            Path(folder) / f"gt{i}.wav",
                        )
                    )
                    groups[compared].append(i)
            for compared, numbers in groups.items():
                scores = self._score(Path(folder), numbers, compared)
                for i in numbers:
                    fields = scores.get(str(i), {})
                    results[i] = self._select(recordings[i].utt, fields, compared)
        return results

    def _select(self, utt: str, fields: dict, compared: bool) -> dict[str, list[float]]:
        """Our metrics among a recording's fields."""
        found = {}
        for field, column in self.fields.items():
            value = fields.get(field)
            if isinstance(value, (int, float)) and math.isfinite(value):
                found.setdefault(column.key, [float(value), 1.0])
        missing = {column.key for column in self.columns} - found.keys()
        if compared and missing:  # VERSA skips what it lacks a package for
            logging.warning("%s: VERSA gives no %s", utt, ", ".join(sorted(missing)))
        return found

    def _score(self, folder: Path, numbers: list[int], compared: bool) -> dict:
        """Run the scorer on recordings of these numbers, see ``read_scores``."""
        if not numbers:
            return {}
        options = {"score_config": self.config, "output_file": folder / "scores"}
        for side in ("pred", "gt") if compared else ("pred",):
            options[side] = folder / f"{side}.scp"
            lines = [f"{i} {folder / f'{side}{i}.wav'}\n" for i in numbers]
            options[side].write_text("".join(lines), encoding="utf-8")
        options["cache_folder"], options["io"] = folder / "cache", "soundfile"
        if not self.device.startswith("cpu"):
            options["use_gpu"] = "true"
        return read_scores(_run(self.python, options))


def _copy(entry: str, utt: str, path: Path) -> bool:
    """Write a recording as VERSA reads it, unless it cannot be measured."""
    wav = read_speech(entry, utt)
    if wav is not None:
        soundfile.write(path, wav, SAMPLE_RATE, "FLOAT")
    return wav is not None


def _run(python: str, options: dict[str, object]) -> str:
    """The scorer's output.

    Raises:
        Unavailable: it failed; the message has the last line of its log.
    """
    command = [python, "-m", "versa.bin.scorer"]
    command += [text for k, v in options.items() for text in (f"--{k}", str(v))]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        if "no scoring function" in last.lower():
            return ""  # every metric of the configuration wants a reference
        raise Unavailable(f"VERSA failed: {last[:200]}")
    return Path(options["output_file"]).read_text(encoding="utf-8")
