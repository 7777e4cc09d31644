import pytest
import torch
from encoder_checks import (
    check_batch_is_single,
    check_frozen,
    feats,
    several_values_are_single_values,
)
from transformers import WhisperConfig, WhisperModel

from espnet2_taste.taste.tokenizer.whisper_encoder import WhisperEncoder

WHISPER = {
    "num_mel_bins": 8,
    "d_model": 16,
    "encoder_layers": 3,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_source_positions": 20,
    "vocab_size": 10,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 3,
}


@pytest.fixture(scope="module")
def whisper_folder(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("whisper")
    WhisperModel(WhisperConfig(**WHISPER)).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_whisper_batch_is_single(attention):
    encoder = WhisperEncoder(
        8, config=WHISPER, value_layer=2, attn_implementation=attention
    )
    assert not check_batch_is_single(encoder.eval(), *feats(8)).keys.requires_grad
    check_batch_is_single(encoder, *feats(8, (40, 22)))  # as long as it can read


def test_whisper_equals_transformers(whisper_folder):
    model = WhisperModel.from_pretrained(whisper_folder).encoder.eval()
    x, lengths = torch.randn(2, 40, 8), torch.tensor([40, 12])
    with torch.no_grad():
        want = model(x.transpose(1, 2), output_hidden_states=True)
    for layer in (0, 2, 3):
        encoder = WhisperEncoder(
            8, model=whisper_folder, value_layer=layer, mask_padding=False
        )
        out = encoder.train()(x, lengths)
        torch.testing.assert_close(out.keys, want.last_hidden_state)
        if layer < 3:  # transformers gives the last one normalised
            torch.testing.assert_close(out.values, want.hidden_states[layer])
        assert out.lengths.tolist() == [20, 6]


def test_whisper_several_value_layers():
    several_values_are_single_values(
        lambda layers: WhisperEncoder(8, config=WHISPER, value_layer=layers), [3, 0, 2]
    )
    one = WhisperEncoder(8, config=WHISPER, value_layer=[2])
    assert one(*feats(8)).values.dim() == 3 and one.num_values == 1


def test_whisper_frozen_and_checkpoints(whisper_folder):
    encoder = WhisperEncoder(8, model=whisper_folder, value_layer=2)
    check_frozen(encoder, [encoder.encoder])
    # what the folder gives back is not stored, and loading does without it
    assert not encoder.state_dict()
    wrapper = torch.nn.ModuleDict({"encoder": encoder, "head": torch.nn.Linear(2, 2)})
    state = wrapper.state_dict()
    assert set(state) == {"head.weight", "head.bias"}
    before = encoder.encoder.conv1.weight.clone()
    wrapper.load_state_dict(state)
    assert torch.equal(before, encoder.encoder.conv1.weight)

    random = WhisperEncoder(8, config=WHISPER, value_layer=2)
    check_frozen(random, [random.encoder])
    assert len(random.state_dict()) > 40
    trained = WhisperEncoder(8, model=whisper_folder, value_layer=2, frozen=False)
    assert len(trained.state_dict()) > 40
    out = trained.train()(*feats(8))
    (out.keys.sum() + out.values.sum()).backward()
    assert trained.encoder.conv1.weight.grad is not None


def check_precision(encoder, device):
    """A bf16 encoder: near the float32 one, float32 outside, and stays as it is."""
    exact = WhisperEncoder(8, config=WHISPER, value_layer=2).to(device).eval()
    exact.encoder.load_state_dict(dict(encoder.encoder.named_parameters()))
    encoder.to(device).train().to(dtype=torch.float32)
    assert {p.dtype for p in encoder.parameters()} == {torch.bfloat16}
    x, lengths = (t.to(device) for t in feats(8))
    out, want = encoder(x, lengths), exact(x, lengths)
    for item, length in enumerate(out.lengths.tolist()):
        for got, precise in ((out.keys, want.keys), (out.values, want.values)):
            assert got.dtype == torch.float32 and not got.requires_grad
            error = (got[item, :length] - precise[item, :length]).abs().max()
            assert 0 < error < 0.05 * precise[item, :length].abs().max()


@pytest.mark.parametrize("from_folder", [True, False])
def test_whisper_in_half_precision(whisper_folder, from_folder):
    source = {"model": whisper_folder} if from_folder else {"config": WHISPER}
    check_precision(WhisperEncoder(8, value_layer=2, dtype="bfloat16", **source), "cpu")
    with pytest.raises(ValueError, match="bfloat16 is for frozen encoders"):
        WhisperEncoder(8, config=WHISPER, value_layer=2, dtype="bfloat16", frozen=False)
    with pytest.raises(ValueError, match="'int8' is not one of"):
        WhisperEncoder(8, config=WHISPER, value_layer=2, dtype="int8")


@pytest.mark.gpu
@pytest.mark.parametrize("attention", ["sdpa", "flash_attention_2"])
def test_whisper_in_half_precision_on_gpu(attention):
    if attention == "flash_attention_2":
        pytest.importorskip("flash_attn")
    encoder = WhisperEncoder(
        8,
        config=WHISPER,
        value_layer=2,
        dtype="bfloat16",
        attn_implementation=attention,
    )
    check_precision(encoder, "cuda")


def test_whisper_flash_attention_needs_half_precision():
    encoder = WhisperEncoder(8, config=WHISPER, value_layer=2)
    encoder.encoder.config._attn_implementation = "flash_attention_2"
    with pytest.raises(RuntimeError, match="set dtype: bfloat16"):
        encoder(*feats(8))


def test_whisper_errors(whisper_folder):
    with pytest.raises(ValueError, match="either model .* or config"):
        WhisperEncoder(8)
    with pytest.raises(ValueError, match="reads 8 mel bins.*set n_mels: 8"):
        WhisperEncoder(80, model=whisper_folder)
    with pytest.raises(ValueError, match=r"value_layer 6 is outside 0\.\.3"):
        WhisperEncoder(8, config=WHISPER)
    with pytest.raises(ValueError, match=r"value_layer 4 is outside 0\.\.3"):
        WhisperEncoder(8, config=WHISPER, value_layer=[0, 4])
    for layers in ([], [1, 1]):
        with pytest.raises(ValueError, match="must name one or more, each once"):
            WhisperEncoder(8, config=WHISPER, value_layer=layers)
    with pytest.raises(FileNotFoundError, match="cannot load.*nothing"):
        WhisperEncoder(8, model=whisper_folder + "/nothing")
    encoder = WhisperEncoder(8, config=WHISPER, value_layer=2)
    with pytest.raises(ValueError, match="41 frames of features, at most 40"):
        encoder(torch.zeros(1, 41, 8), torch.tensor([41]))
    try:
        import flash_attn  # noqa: F401
    except ImportError:
        with pytest.raises(RuntimeError, match="extra flash-attn"):
            WhisperEncoder(8, config=WHISPER, attn_implementation="flash_attention_2")
