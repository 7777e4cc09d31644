"""Causal language models from Hugging Face as backbones."""

import copy
import inspect
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from espnet2_taste.io.checkpoint import load_transformers
from espnet2_taste.nn.abs_backbone import AbsBackbone, LMOutput
from espnet2_taste.nn.hf_cache import RaggedHFCache


class HFCausalBackbone(AbsBackbone):
    """Any ``AutoModelForCausalLM``, trained whole, through LoRA, or frozen.

    Tensors that are frozen *and* come from ``model`` are left out of the state dict,
    as building the model again brings them back (not with ``save_base``); weights made
    from ``config`` are always saved. Dtypes survive ``model.to(dtype=...)``, which
    ESPnet calls.

    Args:
        vocab_size: the text tokenizer's vocabulary.
        model: hub id or local folder of a pretrained LM.
        config: instead of ``model``, a transformers configuration with its
            ``model_type``, initialised at random. Its ``vocab_size`` defaults to the
            tokenizer's plus a start and an end symbol (``bos/eos_token_id``).
        lora: arguments of ``peft.LoraConfig``; the base is frozen then. Targets are
            all linear maps but the output layer unless given.
        freeze: train nothing here.
        dtype: dtype of the base (LoRA stays float32).
        attn_implementation: as transformers names it; default: its choice (SDPA where
            the LM can).
        gradient_checkpointing: recompute activations in the backward pass.
        sos_id: default: the LM's ``bos_token_id``.
        eos_id: default: the LM's ``eos_token_id``.
        save_base: the base is not that of ``model``, so its tensors are in the state
            dict, too: said of what begins from a merged LoRA.
        base: that LM (:meth:`merged`), in place of the weights of ``model`` or
            ``config``.
    """

    def __init__(
        self,
        vocab_size: int,
        model: str | None = None,
        config: dict | None = None,
        lora: dict | None = None,
        freeze: bool = False,
        dtype: str = "float32",
        attn_implementation: str | None = None,
        gradient_checkpointing: bool = False,
        sos_id: int | None = None,
        eos_id: int | None = None,
        save_base: bool = False,
        base: torch.nn.Module | None = None,
    ):
        super().__init__()
        if (model is None) == (config is None):
            raise ValueError("lm_conf needs either `model` or `config`")
        from transformers import AutoConfig, AutoModelForCausalLM

        options = {
            "dtype": getattr(torch, dtype),
            "attn_implementation": attn_implementation,
        }
        if base is not None:
            lm = base.to(options["dtype"]).requires_grad_(True)
            if attn_implementation is not None:
                lm.set_attn_implementation(attn_implementation)
        elif model is not None:
            lm = load_transformers(AutoModelForCausalLM, model, **options)
        else:
            symbols = {"bos_token_id": vocab_size, "eos_token_id": vocab_size + 1}
            symbols |= {"vocab_size": vocab_size + 2, "pad_token_id": None}
            config = symbols | copy.deepcopy(config)  # transformers writes into it
            lm = AutoModelForCausalLM.from_config(
                AutoConfig.for_model(**config), **options
            )
        # transformers renames it in version 5.
        arguments = inspect.signature(lm.base_model.forward).parameters
        self._cache_name = "cache" if "cache" in arguments else "past_key_values"
        self.size = lm.config.hidden_size
        self.vocab_size = lm.get_input_embeddings().num_embeddings
        self.sos_id = _symbol("sos_id", sos_id, lm.config.bos_token_id, self.vocab_size)
        self.eos_id = _symbol("eos_id", eos_id, lm.config.eos_token_id, self.vocab_size)
        if vocab_size > self.vocab_size:
            raise ValueError(
                f"the text tokenizer has {vocab_size} tokens, the LM {model or ''} "
                f"embeds {self.vocab_size}: use the LM's own tokenizer"
            )
        if gradient_checkpointing:
            lm.gradient_checkpointing_enable({"use_reentrant": False})
        if lora is not None:
            lm = _add_lora(lm, lora)
        if freeze:
            lm.requires_grad_(False)
        self.lm = lm
        self._lm_modules = list(lm.modules())
        self._adapted = [m for m in self._lm_modules if hasattr(m, "_disable_adapters")]
        # A finished mask spares a look at it, which waits for the GPU at every step.
        self._takes_any_mask = (
            any(hasattr(m, "inv_freq") for m in self._lm_modules)
            and lm.config._attn_implementation == "sdpa"
            and getattr(lm.config, "sliding_window", None) is None
            and set(getattr(lm.config, "layer_types", None) or ["full_attention"])
            == {"full_attention"}
        )
        self._has_base = lora is not None
        self._frozen = not any(p.requires_grad for p in lm.parameters())
        self._recreated: frozenset[str] = frozenset()
        if model is not None and not save_base:
            # named_parameters lists tied tensors once, the state dict every name.
            kept = {p.data_ptr() for p in self.parameters() if p.requires_grad}
            # LoRA is initialised at random, so it is kept even when frozen.
            self._recreated = frozenset(
                k
                for k, tensor in self.state_dict().items()
                if tensor.data_ptr() not in kept and ".lora_" not in k
            )
        self.register_state_dict_post_hook(_drop_recreated)
        self.register_load_state_dict_post_hook(_forgive_recreated)

    @property
    def has_base(self) -> bool:
        return self._has_base

    @property
    def causal_lm(self) -> torch.nn.Module:
        """The transformers model, with LoRA layers inside where there are any."""
        return self.lm.get_base_model() if self._has_base else self.lm

    def merged(self) -> torch.nn.Module:
        """The transformers model with the LoRA added to its weights; this backbone is
        used up by it.

        Raises:
            ValueError: there is none, or one of the table of tokens where that is the
                output layer's, too.
        """
        if not self._has_base:
            raise ValueError("it has no LoRA")
        lm = self.causal_lm
        table, head = lm.get_input_embeddings(), lm.get_output_embeddings()
        if table.weight is head.weight and table in self._adapted:
            raise ValueError(
                "its LoRA adapts the table of tokens, which is the output layer's, too"
            )
        lm = self.lm.merge_and_unload()
        if hasattr(lm, "peft_config"):
            del lm.peft_config
        return lm

    def train(self, mode: bool = True):
        """Stay in eval mode when nothing here is trained."""
        return super().train(mode and not self._frozen)

    def _apply(self, fn, recurse: bool = True):
        """Move tensors, keeping the dtype of each."""
        return super()._apply(lambda t: fn(t).to(t.dtype), recurse)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        return self.causal_lm.get_input_embeddings()(ids)

    def forward(
        self,
        embeds: torch.Tensor,
        mask: torch.Tensor | None = None,
        cache: Any = None,
        use_cache: bool = False,
    ) -> LMOutput:
        lm = self.causal_lm
        positions, ragged = None, isinstance(cache, RaggedHFCache)
        if ragged:
            positions, mask = cache.kv.lengths[:, None], cache.kv.mask()
        elif mask is not None:
            positions = (mask.long().cumsum(1) - 1).clamp(min=0)[:, -embeds.size(1) :]
            one_step = cache is not None and embeds.size(1) == 1
            if one_step and self._takes_any_mask:
                mask = mask[:, None, None]
            else:
                mask = mask.long()
        output = lm.base_model(
            inputs_embeds=embeds.to(lm.dtype),
            attention_mask=mask,
            position_ids=positions,
            use_cache=use_cache,
            **{self._cache_name: cache},
        )
        if ragged:
            cache.kv.moved(1)
            return LMOutput(output.last_hidden_state, cache)
        return LMOutput(output.last_hidden_state, output.get(self._cache_name))

    def new_ragged_cache(self, batch_size: int, **options) -> RaggedHFCache:
        if not self._takes_any_mask:
            raise ValueError(
                f"{self.causal_lm.config.model_type}: only LMs with rotary positions, "
                "full attention and SDPA read items at different positions: give no "
                "slots"
            )
        probe = next(self.parameters()).new_zeros(1, 1, self.size)
        return RaggedHFCache(self(probe, use_cache=True).cache, batch_size, **options)

    def logits(self, hidden: torch.Tensor, base: bool = False) -> torch.Tensor:
        lm = self.causal_lm
        head = lm.get_output_embeddings()
        if base:
            head = getattr(head, "base_layer", head)  # where it has an adapter
        with torch.no_grad() if base else nullcontext():
            logits = head(hidden.to(lm.dtype)).float()
        # What some families do beside the linear map (Cohere, Granite, Gemma).
        logits = logits * (getattr(lm.config, "logit_scale", None) or 1)
        logits = logits / (getattr(lm.config, "logits_scaling", None) or 1)
        cap = getattr(lm.config, "final_logit_softcapping", None)
        return logits if cap is None else cap * (logits / cap).tanh()

    def base_hidden(
        self, embeds: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        with self._without_adapters():
            return self(embeds, mask).hidden

    @contextmanager
    def _without_adapters(self):
        """The same weights as the base LM: no LoRA, dropout or gradient."""
        training = self.training
        self._switch(adapters=False, training=False)
        try:
            with torch.no_grad():
                yield
        finally:
            self._switch(adapters=True, training=training)

    def _switch(self, adapters: bool, training: bool) -> None:
        """What peft's ``disable_adapter`` and ``train`` do to the LM, but those look
        for its modules every time, for longer than a GPU takes to run it."""
        for layer in self._adapted:
            layer._disable_adapters = not adapters
        for module in self._lm_modules:
            module.training = training


def _add_lora(lm: torch.nn.Module, lora: dict) -> torch.nn.Module:
    """Adapters beside the linear maps that ``target_modules`` names.

    Raises:
        ValueError: it names none, or something else than LoRA matrices is asked for.
    """
    from peft import LoraConfig, get_peft_model

    lora = {"target_modules": "all-linear", "task_type": "CAUSAL_LM", **lora}
    others = {"modules_to_save", "trainable_token_indices", "use_dora"}
    more = {key for key in others if lora.get(key)}
    if lora.get("bias", "none") != "none" or more:
        raise ValueError(
            f"lm_conf lora trains matrices alone: remove {', '.join(more) or 'bias'}"
        )
    try:
        return get_peft_model(lm, LoraConfig(**lora))
    except ValueError as error:
        raise ValueError(
            f"lm_conf lora target_modules {lora['target_modules']!r}: {error}"
        ) from None


def _symbol(name: str, given: int | None, default: Any, vocab_size: int) -> int:
    """The id of a special symbol, checked against the vocabulary."""
    if given is None:
        given = default[0] if isinstance(default, list | tuple) else default
    if given is None:
        raise ValueError(f"the LM's config has no {name}: give lm_conf {name}=<id>")
    if not 0 <= given < vocab_size:
        raise ValueError(f"lm_conf {name}={given} is outside the LM's {vocab_size} ids")
    return given


def _drop_recreated(module: HFCausalBackbone, state: dict, prefix: str, _) -> None:
    for name in module._recreated:
        state.pop(prefix + name, None)


def _forgive_recreated(module: HFCausalBackbone, keys) -> None:
    # The hook is not told its module's prefix, so names are compared by their ends.
    def recreated(key: str) -> bool:
        starts = [0] + [i + 1 for i, letter in enumerate(key) if letter == "."]
        return any(key[i:] in module._recreated for i in starts)

    keys.missing_keys[:] = [k for k in keys.missing_keys if not recreated(k)]
