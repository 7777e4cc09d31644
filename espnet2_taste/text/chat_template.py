"""How a language model's text of a dialogue is written: what stands around its turns.

A template is rendered with marks in place of what is said, and cut there. So the words
of a turn have the tokens that they have anywhere else, to which its codes belong.
"""

from collections.abc import Sequence
from functools import lru_cache

from espnet2_taste.text.abs_word_tokenizer import AbsWordTokenizer
from espnet2_taste.text.hf_tokenizer import HFTokenizer

ROLES = ("system", "user", "assistant")
#: Jinja templates, besides the tokenizer's ``own``: ChatML as Qwen writes it, and as
#: TASTE2 was trained.
TEMPLATES = {
    "own": None,
    "chatml": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content "
    "+ '<|im_end|>\\n' }}{% endfor %}",
    "taste2": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content "
    "+ '\\n<|im_end|>' }}{% endfor %}",
}
#: Not today's: Llama 3 writes it into every dialogue.
_DATE = "26 Jul 2024"


class ChatTemplate:
    """Tokens around the turns of dialogues.

    Args:
        tokenizer: the language model's, of ``token_type: hf``.
        name: of ``TEMPLATES``.
        start_symbol: whether the model begins with its start symbol anyway; the
            template's is left out then.

    Attributes:
        closing: token ids after an assistant's turn that is a dialogue's last. The
            first of them, ``end_id``, ends the turn.

    Raises:
        ValueError: there is no such template, or not for this tokenizer, or a turn's
            end cannot be told from what is said.
    """

    def __init__(
        self, tokenizer: AbsWordTokenizer, name: str, start_symbol: bool = True
    ):
        if name not in TEMPLATES:
            known = ", ".join(TEMPLATES)
            raise ValueError(f"chat_template {name!r} is not one of {known}")
        if not isinstance(tokenizer, HFTokenizer):
            raise ValueError(
                f"chat_template {name}: dialogues need the vocabulary of a language "
                "model (token_type hf)"
            )
        self.name, self.start_symbol = name, start_symbol
        self.tokenizer = tokenizer
        self.model = tokenizer.tokenizer.name_or_path or "the tokenizer"
        if name == "own" and not tokenizer.tokenizer.chat_template:
            raise ValueError(
                f"{self.model} has no chat template: take chat_template chatml, or the "
                "tokenizer of a model that was trained on dialogues"
            )
        for symbol in ("<|im_start|>", "<|im_end|>") if TEMPLATES[name] else ():
            if len(tokenizer.encode_text(symbol)) != 1:
                raise ValueError(
                    f"chat_template {name}: {self.model} has no token {symbol}: take "
                    "its own template (chat_template own), or another tokenizer"
                )
        self.around = lru_cache(maxsize=1000)(self._around)
        self.closing = self.around(("user", "assistant"))[-1]
        end = self.tokenizer.piece(self.closing[0]) if self.closing else " "
        if end.strip() or end == " ":
            raise ValueError(
                f"chat_template {name}: {self.model} ends an assistant's turn with "
                f"{end!r}, which may be said, too: take chat_template chatml"
            )

    @property
    def end_id(self) -> int:
        """The token that ends an assistant's turn."""
        return self.closing[0]

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k != "around"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.around = lru_cache(maxsize=1000)(self._around)

    def _around(self, roles: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        """Token ids before the first turn, between two, and after the last.

        Args:
            roles: (T,) who says each turn, of ``ROLES``.

        Raises:
            ValueError: the template does not write such turns.
        """
        marks = [f"\ue000{index}\ue001" for index in range(len(roles))]
        messages = [
            {"role": role, "content": mark}
            for role, mark in zip(roles, marks, strict=True)
        ]
        try:
            text = self.tokenizer.tokenizer.apply_chat_template(
                messages,
                chat_template=TEMPLATES[self.name],
                tokenize=False,
                date_string=_DATE,
            )
        except Exception as error:  # a template raises what it likes
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"the chat template of {self.model} refuses turns of "
                f"{', '.join(roles)}: {reason}"
            ) from None
        parts = []
        for mark in marks:
            part, found, text = text.partition(mark)
            if not found:
                raise ValueError(
                    f"the chat template of {self.model} does not write each turn once, "
                    f"in order ({', '.join(roles)})"
                )
            parts.append(part)
        ids = [tuple(self.tokenizer.encode_text(part)) for part in [*parts, text]]
        start = self.tokenizer.tokenizer.bos_token_id
        if self.start_symbol and ids[0][:1] == (start,):
            ids[0] = ids[0][1:]
        return tuple(ids)
