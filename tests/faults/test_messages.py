"""What a user can mend is one line with the file, id or option, and the way out.

Every case is a command line in the folder of a small system; braces are filled in by
``FILES``, which makes the file that is wrong.
"""

import importlib

import kaldiio
import numpy as np
import pytest
import soundfile
from tiny_system import SPEAKER, UNITS, make_system

from espnet2_taste.bin import run


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """``exp/{taste,taslm,units,speaker}`` and ``data`` with two utterances."""
    with pytest.MonkeyPatch.context() as patch:
        root = make_system(tmp_path_factory.mktemp("system"), patch)
        data = root / "d"
        data.mkdir()
        wav = np.random.default_rng(0).standard_normal(16000) * 0.1
        tables = {"wav.scp": {}, "text": {}, "utt2spk": {}}
        for utt in ("u1", "u2"):
            soundfile.write(data / f"{utt}.wav", wav, 16000, "PCM_16")
            tables["wav.scp"][utt] = data / f"{utt}.wav"
            tables["text"][utt] = "set the red lamp"
            tables["utt2spk"][utt] = "s"
        for name, table in tables.items():
            (data / name).write_text("".join(f"{k} {v}\n" for k, v in table.items()))
        arrays = {
            "spk_emb": np.ones(SPEAKER, "f"),
            "units": np.arange(UNITS, dtype="int32"),
            "taste": np.zeros(8, "int32"),
            "durations": np.full(4, 5, "int32"),
        }
        for name, array in arrays.items():
            ark, scp = data / f"{name}.ark", data / f"{name}.scp"
            kaldiio.save_ark(str(ark), {u: array for u in tables["text"]}, str(scp))
        yield root


def main_of(command):
    return importlib.import_module(f"espnet2_taste.bin.{command}").main


def said(words, caplog, capsys) -> tuple[str, int]:
    """What a command line says in the end, and its exit status."""
    command, *rest = words
    with pytest.raises(SystemExit) as error:
        run(lambda: main_of(command)(rest))
    assert not [r for r in caplog.records if r.exc_info], "a traceback was logged"
    code = error.value.code
    if isinstance(code, str):
        return code, 1
    return capsys.readouterr().err.splitlines()[-1], code


if __name__ == "__main__":
    pass
