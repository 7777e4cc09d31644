import tracemalloc

import pytest

from espnet2_taste.taslm.vocabulary import Vocabulary
from espnet2_taste.taste.taste_spec import TasteSpec
from espnet2_taste.text.abs_word_tokenizer import AbsWordTokenizer
from espnet2_taste.text.fingerprint import check_fingerprints, fingerprint

MANY = 262_144


class Syllables(AbsWordTokenizer):
    """As many tokens as the largest vocabularies have, none of them kept."""

    def __init__(self, size=MANY, changed=None, merges=True):
        super().__init__()
        self.size, self.changed, self.merges = size, changed, merges

    @property
    def vocab_size(self):
        return self.size

    def piece(self, index):
        return f" {index:x}" if index != self.changed else " changed"

    def _encode(self, word, spaced):
        return ((len(word) + self.merges) % self.size,)


def test_versions_of_a_vocabulary():
    first = fingerprint(Syllables(500))
    assert first == fingerprint(Syllables(500)) and len(first) == 16
    others = [Syllables(501), Syllables(500, 77), Syllables(500, merges=False)]
    assert len({first, *map(fingerprint, others)}) == 4
    check_fingerprints({"text": first, "llm": "?"}, {"text": Syllables(500)})
    with pytest.raises(ValueError, match="vocabulary text is another version"):
        check_fingerprints({"text": first}, {"text": others[1]})


def test_codes_of_another_version(tmp_path):
    scp = tmp_path / "taste.scp"
    spec = TasteSpec(2, 8, "token", "aaaa")
    spec.check(scp)  # nothing says what they are
    (tmp_path / TasteSpec.FILE).write_text(spec.text())
    spec.check(scp)
    TasteSpec(2, 8, "token").check(scp)
    assert TasteSpec.beside(scp).vocabulary == "aaaa"
    with pytest.raises(ValueError, match="another vocabulary, or version"):
        TasteSpec(2, 8, "token", "bbbb").check(scp)


def test_memory_of_262k_tokens():
    """No tables but some bytes a token for the sampler; on the way, their texts."""
    tokenizer = Syllables()
    tracemalloc.start()
    fingerprint(tokenizer)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    made = Vocabulary.build(MANY, MANY, tokenizer.piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    tables = [table for table in vars(made).values() if table is not None]
    assert sum(t.element_size() * t.numel() for t in tables) <= 16 * MANY
    assert peak < 64 << 20
