"""Writing the model card (README.md) of a packed model, in Hugging Face's form.

It says what the parts, the results and the command line say. What none of them says is
"not given"; what was not measured is "not computed".
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from espnet2_taste import __version__
from espnet2_taste.evaluate.report.results_md import test_set_size
from espnet2_taste.evaluate.table import markdown

NOT_GIVEN = "not given"
PAPER = "https://arxiv.org/abs/2504.07053"
#: axes of a system -> heading of the list of parts
LABELS = {
    "taste": "Tokenizer and speech decoder",
    "taslm": "Spoken language model (TASLM)",
    "units": "Speech units",
    "speaker": "Speaker encoder",
    "vocoder": "Vocoder",
}
CITATIONS = r"""```bibtex
@article{tseng2025taste,
  title   = {{TASTE}: Text-Aligned Speech Tokenization and Embedding for Spoken
             Language Modeling},
  author  = {Tseng, Liang-Hsuan and Chen, Yi-Chang and Lee, Kuan-Yi and
             Shiu, Da-Shan and Lee, Hung-yi},
  journal = {arXiv preprint arXiv:2504.07053},
  year    = {2025}
}
@inproceedings{watanabe2018espnet,
  title     = {{ESPnet}: End-to-End Speech Processing Toolkit},
  author    = {Watanabe, Shinji and Hori, Takaaki and Karita, Shigeki and
               Hayashi, Tomoki and Nishitoba, Jiro and Unno, Yuya and
               Enrique Yalta Soplin, Nelson and Heymann, Jahn and
               Wiesner, Matthew and Chen, Nanxin and Renduchintala, Adithya and
               Ochiai, Tsubasa},
  booktitle = {Proceedings of Interspeech},
  pages     = {2207--2211},
  year      = {2018}
}
```"""


@dataclass
class Card:
    """What a model card is filled from.

    Attributes:
        name: of the model.
        source: what opens it: ``user/name`` on a hub, or a zip.
        parts: part -> what it is.
        remote: hub ids of networks that are not inside.
        license, data: of the weights and of the training, None if nobody said.
        language: codes such as ``en``.
        results: test set -> content of its ``results.json``.
    """

    name: str
    source: str
    parts: dict[str, str]
    remote: list[str] = field(default_factory=list)
    license: str | None = None
    data: str | None = None
    language: list[str] = field(default_factory=list)
    results: dict[str, dict] = field(default_factory=dict)

    def text(self) -> str:
        """The whole file, without paths of this machine."""
        sections = [
            f"---\n{yaml.safe_dump(self._front_matter(), sort_keys=False)}---",
            f"# {self.name}",
            f"A text-aligned speech tokenizer ([TASTE]({PAPER})) for ESPnet. "
            f"Opening it takes the Python package espnet2_taste ({__version__}).",
            "\n".join(f"- {LABELS[k]}: {self.parts.get(k, 'none')}" for k in LABELS),
            self._backbones(),
            f"- Training data: {self.data or NOT_GIVEN}\n"
            f"- Language: {', '.join(self.language) or NOT_GIVEN}\n"
            f"- License: {self.license or NOT_GIVEN}",
            f"## How to use\n\n{self._python()}\n\n{self._commands()}",
            f"## Results\n\n{self._results()}",
            f"## Citation\n\n{CITATIONS}",
        ]
        return _portable("\n\n".join(s for s in sections if s) + "\n")

    def _front_matter(self) -> dict:
        matter = {"tags": ["espnet", "audio", "text-to-speech", "speech-tokenizer"]}
        matter["library_name"] = "espnet"
        if self.language:
            matter["language"] = self.language
        if self.license:
            matter["license"] = self.license.lower()
        if re.fullmatch(r"[a-z0-9_./-]+", self.data or ""):
            matter["datasets"] = [self.data]
        if self.results:
            tables = ("reconstruction", "continuation", "likelihood", "qa")
            rows = [
                row
                for scores in self.results.values()
                for table in tables
                for row in (scores.get(table) or {}).values()
            ]
            measured = {
                key: None
                for row in rows
                for key, metric in row["metrics"].items()
                if metric["mean"] is not None
            }
            matter["metrics"] = list(measured)
        return matter

    def _backbones(self) -> str:
        if not self.remote:
            return "All weights are inside."
        names = ", ".join(f"`{name}`" for name in self.remote)
        return f"Not inside, but loaded by name from the hub: {names}."

    def _python(self) -> str:
        """Code that runs as it stands beside a recording ``a.wav``."""
        has_speaker, has_vocoder = ("speaker" in self.parts, "vocoder" in self.parts)
        classes = ["SpeechToTaste", "TasteToSpeech"]
        lines = [
            "import soundfile",
            "import torch" if has_speaker else "",
            "",
            f'model = "{self.source}"  # or the folder of its files',
            'wav, rate = soundfile.read("a.wav", dtype="float32")  # 16 kHz, mono',
            'text = "what is said in it"',
            "tokenizer = SpeechToTaste.from_pretrained(model)",
            "tokens = tokenizer(wav, text, sample_rate=rate)",
            "print(tokens.words, tokens.codes)  # (words, codebooks)",
        ]
        if has_speaker:
            lines.append(
                'speaker = load_part(model, "speaker")([torch.from_numpy(wav)])[0]'
            )
        else:
            lines.append("speaker = ...  # of the speaker encoder used in training")
        lines += [
            "speak = TasteToSpeech.from_pretrained(model)",
            "out = speak(text, speaker, tokens.codes)",
        ]
        if has_vocoder:
            lines.append('soundfile.write("out.wav", out.wav, out.sample_rate)')
        else:
            lines.append("print(out.units)")
        if "taslm" in self.parts:
            classes.insert(1, "TaslmGenerate")
            lines += [
                "taslm = TaslmGenerate.from_pretrained(model)",
                "more = taslm([text], [tokens.codes])[0]",
                "print(more.text, more.codes)",
            ]
        if has_speaker:
            classes.append("load_part")
        imports = [f"from espnet2_taste.inference import {', '.join(classes)}"]
        lines[2:2] = ["", *imports]
        code = re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
        return f"```python\n{code}\n```"

    def _commands(self) -> str:
        lines = [
            f"model={self.source}",
            'run="python -m espnet2_taste.bin"',
            "$run.format_wav data wavs  # wav.scp, text, utt2spk",
        ]
        place = "--data_dir wavs --output_dir"
        if "speaker" in self.parts:
            lines.append(f"$run.extract_speakers --model $model {place} wavs")
        lines.append(f"$run.tokenize --model_file $model {place} codes")
        if "vocoder" in self.parts:
            lines.append(
                f"$run.synthesize --model_file $model {place} said \\\n"
                "    --condition codes --taste codes/taste.scp"
            )
        if "taslm" in self.parts:
            lines.append(
                f"$run.taslm_generate --model_file $model {place} more \\\n"
                "    --taste codes/taste.scp --prompt_words 2"
            )
        return "```sh\n" + "\n".join(lines) + "\n```"

    def _results(self) -> str:
        if not self.results:
            return "Not computed: packed without results of `espnet2_taste.bin.score`."
        parts = []
        for name, scores in self.results.items():
            size = test_set_size(scores)
            parts.append(f"### Test set {name}" + (f": {size}" if size else ""))
            parts.append(re.sub("^#", "###", markdown(scores), flags=re.M))
        return "\n\n".join(parts)


def _portable(text: str) -> str:
    """Paths below the working and home directory become relative to them."""
    for folder in (Path.cwd(), Path.home()):
        if folder != Path(folder.anchor):
            text = text.replace(f"{folder}/", "").replace(str(folder), ".")
    return text
