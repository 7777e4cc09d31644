"""Miniature corpora in the layouts of the published ones."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import soundfile

TEXTS = ("Mister Bell paid five dollars.", '"Yes," said he\u2014"no!"')


def write_audio(path: Path, seconds: float = 1.0, rate: int = 16000, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(path.name))
    wav = rng.normal(0, 0.05, int(seconds * rate))
    soundfile.write(path, wav, rate, **options)
    return path


def write_voice(path: Path, seconds: float, rate: int, pitch: float) -> Path:
    """Harmonics of a pitch (Hz) that fades in and out, with faint noise."""
    rng = np.random.default_rng(len(path.name))
    time = np.arange(int(seconds * rate)) / rate
    harmonics = np.arange(1, int(0.45 * rate / pitch))
    waves = np.sin(2 * np.pi * pitch * np.outer(harmonics, time)) / harmonics[:, None]
    wav = 0.2 * waves.sum(0) * np.sin(np.pi * time / seconds)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wav + rng.normal(0, 1e-3, len(wav)), rate)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def librispeech(root: Path, parts: dict[str, str], count: int = 2) -> Path:
    """``parts``: part -> reader."""
    corpus = root / "LibriSpeech"
    lines = ["; comments", ";ID  |SEX| SUBSET           |MINUTES| NAME"]
    for part, reader in parts.items():
        lines.append(f"{reader:4} | M | {part:16} |  8.05 | S. | Young")
        folder = corpus / part / reader / "134686"
        rows = []
        for i in range(count):
            utt = f"{reader}-134686-{i:04d}"
            write_audio(folder / f"{utt}.flac")
            rows.append(f"{utt} HE HOPED THERE'D BE STEW {i}")
        write(folder / f"{reader}-134686.trans.txt", "\n".join(rows) + "\n")
    write(corpus / "SPEAKERS.TXT", "\n".join(lines) + "\n")
    return corpus


def libritts(root: Path, parts: dict[str, str], count: int = 2) -> Path:
    """``root``: LibriTTS or LibriTTS_R; ``parts``: part -> reader."""
    rows = []
    for part, reader in parts.items():
        folder = root / part / reader / "134686"
        rows = []
        for i in range(count):
            utt, text = f"{reader}_134686_{i + 4:06d}_{i:06d}", TEXTS[i % 2]
            write_audio(folder / f"{utt}.wav", rate=24000)
            write(folder / f"{utt}.original.txt", "Mr. Bell paid $5.")
            write(folder / f"{utt}.normalized.txt", text)
            rows.append(f"{utt}\tMr. Bell paid $5.\t{text}")
        write(folder / f"{reader}_134686.trans.tsv", "\n".join(rows) + "\n")
        write(folder / f"{reader}_134686.book.tsv", "\n".join(rows) + "\n")
    return root


def ljspeech(root: Path, count: int = 6) -> Path:
    corpus, lines = root / "LJSpeech-1.1", []
    for i in range(1, count + 1):
        write_audio(corpus / "wavs" / f"LJ001-{i:04d}.wav", rate=22050)
        lines.append(f'LJ001-{i:04d}|or "42-line" {i}|or "forty-two line" {i}')
    write(corpus / "metadata.csv", "\n".join(lines) + "\n")
    return corpus


def vctk(root: Path, version: str = "0.92", count: int = 30) -> Path:
    new = version == "0.92"
    corpus = root / ("VCTK-Corpus-0.92" if new else "VCTK-Corpus")
    for speaker, mics in (("p225", (1, 2)), ("p280", (1,)), ("p315", (1, 2))):
        for i in range(1, count + 1):
            utt = f"{speaker}_{i:03d}"
            if speaker != "p315":
                write(corpus / "txt" / speaker / f"{utt}.txt", f"Sentence {i}.\n")
            for mic in mics if new else ():
                folder = corpus / "wav48_silence_trimmed" / speaker
                write_audio(folder / f"{utt}_mic{mic}.flac", 0.1)
            if not new:
                write_audio(corpus / "wav48" / speaker / f"{utt}.wav", 0.1)
    return corpus


def emilia_rows(shard: int, count: int = 2, **changes) -> list[dict]:
    names = [f"EN_B{shard:05d}_S00000_W{i:06d}" for i in range(count)]
    return [
        {
            "id": name,
            "wav": f"{name[:9]}/{name[:16]}/mp3/{name}.mp3",
            "text": f" You can help my mother {i}.",
            "duration": 1.0,
            "speaker": name[:16],
            "language": "en",
            "dnsmos": 3.29,
        }
        | changes
        for i, name in enumerate(names)
    ]


def mp3(seconds: float = 1.0) -> bytes:
    file = io.BytesIO()
    wav = np.random.default_rng(0).normal(0, 0.05, int(seconds * 24000))
    soundfile.write(file, wav, 24000, format="MP3")
    return file.getvalue()


def emilia_tars(root: Path, shards: int = 3, count: int = 2) -> Path:
    for shard in range(shards):
        path = root / "Emilia/EN" / f"EN-B{shard:06d}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as tar:
            for row in emilia_rows(shard, count):
                for end, data in (("json", json.dumps(row).encode()), ("mp3", mp3())):
                    info = tarfile.TarInfo(f"{row['id']}.{end}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return root


def emilia_jsonl(root: Path, shards: int = 3, count: int = 2) -> Path:
    folder = root / "raw/EN"
    for shard in range(shards):
        rows = emilia_rows(shard, count)
        for row in rows:
            path = folder / row["wav"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(mp3())
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        write(folder / f"EN_B{shard:05d}.jsonl", lines)
    return root


def fsdd(root: Path, packed: bool = False, takes: int = 10) -> Path:
    """The folder, or the zip that GitHub makes of it."""
    top = "free-spoken-digit-dataset-master"
    for speaker, pitch in {"george": 110, "jackson": 90, "theo": 150}.items():
        for digit in range(10):
            for take in range(takes):
                path = root / top / "recordings" / f"{digit}_{speaker}_{take}.wav"
                write_voice(path, 0.3 + 0.01 * digit, 8000, pitch + 2 * take)
    if not packed:
        return root / top
    path = root / f"{top}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in (root / top).rglob("*"):
            archive.write(file, file.relative_to(root))
    return path


def taste_dump(root: Path, parts=("train", "dev", "test"), count: int = 2) -> Path:
    import pyarrow as pa

    real, text = pa.float64(), pa.string()
    fields = [("dnsmos", real), ("duration", real)]
    fields += [(name, text) for name in ("id", "language", "speaker", "text", "wav")]
    schema = pa.schema(
        [
            ("__key__", text),
            ("__url__", text),
            ("json", pa.struct(fields)),
            ("mp3", pa.struct([("bytes", pa.binary()), ("path", text)])),
            ("s3_token", pa.list_(pa.int64())),
            ("spk_emb", pa.list_(pa.float32())),
        ]
    )
    for number, part in enumerate(parts):
        rows = [
            {
                "__key__": row["id"],
                "__url__": "",
                "json": row,
                "mp3": {"bytes": mp3(), "path": f"{row['id']}.mp3"},
                "s3_token": [(7 * i) % 4096 for i in range(50)],
                "spk_emb": [0.1 * (index + 1)] * 192,
            }
            for index, row in enumerate(emilia_rows(number, count))
        ]
        name = f"emilia-dataset-{part}-{number:05d}-of-04908-taste.arrow"
        path = root / "data" / part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as out:
            out.write_table(pa.Table.from_pylist(rows, schema=schema))
    return root


def own(root: Path, count: int = 12) -> Path:
    """Recordings with a text file each, of two speakers, in several formats."""
    for i in range(count):
        ending = ("wav", "flac", "mp3", "ogg")[i % 4]
        path = root / f"speaker{i % 2}" / f"take {i}.{ending}"
        write_audio(path)
        write(path.with_suffix(".txt"), f"This is text {i}.\r\n")
    return root
