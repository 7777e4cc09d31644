"""What a frozen encoder makes of each utterance (``AbsTasteEncoder.forward_frozen``),
kept on disk between epochs.

A folder holds ``cache.json`` (of what the outputs are) and, of each process of a
training, ``<rank>.bin`` with keys and values of one utterance after the other and
``<rank>.jsonl`` with a line for each. A line is written after what it tells of: what a
kill leaves half done is cut off at the next start.
"""

import fcntl
import hashlib
import json
import logging
import math
import os
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence

from espnet2_taste.io.atomic import write_text
from espnet2_taste.taste.tokenizer.abs_encoder import AbsTasteEncoder, EncoderOutput

GIB = 2**30


class EncoderCache:
    """Outputs of a frozen encoder by utterance.

    Args:
        folder: made if absent.
        gib: GiB that all processes of a training may fill; what no longer fits is
            computed every time.
        about: what else the outputs depend on, in words: options, data.
        rank: of this process.
        world_size: processes.
    """

    def __init__(
        self,
        folder: str | Path,
        gib: float,
        about: str,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.folder, self.about = Path(folder), about
        self.limit = gib * GIB / world_size
        self.name = str(rank)
        # utterance -> file, line of the index
        self.known: dict[str, tuple[int, dict]] | None = None
        self.full = False
        self.reads = 0  # utterances that were not computed

    def __call__(
        self,
        encoder: AbsTasteEncoder,
        names: Sequence[str],
        given: torch.Tensor,
        encode: Callable[[list[int]], EncoderOutput],
    ) -> EncoderOutput:
        """The outputs of a batch.

        Args:
            encoder: whose outputs they are.
            names: B utterances.
            given: (B,) int64 length of what the encoder, or the frontend, reads.
            encode: computes those of some rows.

        Raises:
            ValueError: the encoder is trained; the folder is another one's.
        """
        if self.known is None:
            self._open(encoder)
        sizes = given.tolist()
        missing = [i for i, name in enumerate(names) if not self._has(name, sizes[i])]
        rows: list[tuple | None] = [None] * len(names)
        if missing:
            made = encode(missing)
            whole = made.keys.size(1)
            padded = whole > int(made.lengths.max())  # and the padding is read
            lengths = made.lengths.tolist()
            for place, i in enumerate(missing):
                end = whole if padded else lengths[place]
                keys, values = made.keys[place, :end], made.values[place, :end]
                rows[i] = keys, values, lengths[place]
                self._keep(names[i], sizes[i], *rows[i])
        for i, row in enumerate(rows):
            if row is None:
                rows[i] = self._read(names[i], given.device)
                self.reads += 1
        keys, values, lengths = zip(*rows, strict=True)
        return EncoderOutput(
            pad_sequence(keys, batch_first=True),
            pad_sequence(values, batch_first=True),
            torch.tensor(lengths, device=given.device),
        )

    def _has(self, name: str, size: int) -> bool:
        if name not in self.known:
            return False
        if self.known[name][1]["given"] != size:
            raise ValueError(
                f"{self.folder}: {name} had {self.known[name][1]['given']} samples or "
                f"frames, now {size}: remove the folder, or name another encoder_cache"
            )
        return True

    def _open(self, encoder: AbsTasteEncoder) -> None:
        """Take up what is there.

        Raises:
            ValueError: see :meth:`__call__`.
        """
        parameters = _frozen(encoder, encoder.named_parameters())
        trained = [name for name, p in parameters if p.requires_grad]
        if not getattr(encoder, "frozen", False):
            trained.append("dropout")
        if trained:
            raise ValueError(
                f"encoder_cache: this encoder is trained ({trained[0]}), its outputs "
                "change: leave it out, or set frozen: true in encoder_conf"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        half = next(encoder.parameters()).dtype
        self.dtype = half if half in (torch.bfloat16, torch.float16) else torch.float32
        self.key_size = encoder.key_size
        identity = _identity(encoder, self.about)
        about = {"dtype": str(self.dtype), "version": 2, "identity": identity}
        path = self.folder / "cache.json"
        if not path.is_file():
            write_text(path, json.dumps(about))
        if json.loads(path.read_text(encoding="utf-8")) != about:
            raise ValueError(
                f"{self.folder}: holds outputs of another encoder, frontend or data: "
                "remove the folder, or name another encoder_cache"
            )
        self.known, self.size = {}, 0
        own = self.folder / f"{self.name}.bin"
        own.touch()
        for file in sorted(self.folder.glob("*.bin")):
            if file != own and not file.with_suffix(".jsonl").is_file():
                continue
            number, mine = os.open(file, os.O_RDWR), file == own
            if mine:
                self.file = number
                try:
                    fcntl.lockf(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    mine, self.full = False, True
                    logging.info("%s: another training adds to it", self.folder)
            self._take(file.with_suffix(".jsonl"), number, mine)
        self.index = open(own.with_suffix(".jsonl"), "a", encoding="utf-8")
        files = {self.file, *(file for file, _ in self.known.values())}
        weakref.finalize(self, lambda: [os.close(file) for file in files])

    def _take(self, index: Path, file: int, mine: bool) -> None:
        """Lines of an index, and of the own files nothing beyond."""
        index.touch()
        whole, end, there = 0, 0, os.fstat(file).st_size
        with open(index, "rb") as lines:
            for line in lines:
                try:
                    entry = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    entry = None
                if entry is None or entry["at"] + self._bytes(entry) > there:
                    break
                self.known[entry["name"]] = file, entry
                whole += len(line)
                end = entry["at"] + self._bytes(entry)
        if mine:
            os.truncate(index, whole)
            os.ftruncate(file, end)
            self.size = end

    def _bytes(self, entry: dict) -> int:
        width = self.key_size + math.prod(entry["values"])
        return entry["frames"] * width * self.dtype.itemsize

    def _keep(self, name: str, given: int, keys, values, length: int) -> None:
        entry = {"name": name, "given": given, "frames": len(keys), "length": length}
        entry |= {"values": list(values.shape[1:]), "at": self.size}
        if self.full or self.size + self._bytes(entry) > self.limit:
            if not self.full:
                count = len(self.known)
                logging.info("%s: full with %d utterances", self.folder, count)
            self.full = True
            return
        both = torch.cat([keys, values.flatten(1)], 1).detach()
        content = both.to(self.dtype).cpu().contiguous().view(torch.uint8).numpy()
        os.pwrite(self.file, content.tobytes(), self.size)
        self.index.write(json.dumps(entry) + "\n")
        self.index.flush()
        self.known[name] = self.file, entry
        self.size += self._bytes(entry)

    def _read(self, name: str, device: torch.device) -> tuple:
        file, entry = self.known[name]
        content = bytearray(os.pread(file, self._bytes(entry), entry["at"]))
        both = torch.frombuffer(content, dtype=self.dtype).view(entry["frames"], -1)
        both = both.to(device).float()
        keys, values = both[:, : self.key_size], both[:, self.key_size :]
        values = values.unflatten(1, entry["values"])
        return keys, values, entry["length"]


def _frozen(
    encoder: AbsTasteEncoder, tensors: Iterable[tuple[str, torch.Tensor]]
) -> list[tuple[str, torch.Tensor]]:
    """Those that outputs are kept of."""
    return [item for item in tensors if not item[0].startswith(encoder.trained_parts)]


def _identity(encoder: AbsTasteEncoder, about: str) -> str:
    """Digest of the weights, of the way they are used, and of ``about``."""
    digest = hashlib.sha256(about.encode())
    tensors = [*encoder.named_parameters(), *encoder.named_buffers()]
    tensors = _frozen(encoder, tensors)
    for name, tensor in tensors:
        content = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(content.view(torch.uint8).numpy())
    kind = tensors[0][1].device.type
    half = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind)
    digest.update(f"{half} {getattr(encoder, 'mask_padding', None)}".encode())
    return digest.hexdigest()
