import shutil

import numpy as np
import pytest
import torch
from tiny_whisper import SPECIAL, save_openai, save_transformers

from espnet2_taste.asr.abs_recogniser import split_long
from espnet2_taste.asr.recognisers import load_recogniser
from espnet2_taste.asr.recording import Unavailable
from espnet2_taste.nn.light_linears import multiplies_bfloat16


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(0)
    return [0.1 * rng.normal(size=n).astype(np.float32) for n in (16000, 24000, 9000)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_transformers(tmp_path_factory.mktemp("tiny") / "whisper")


def greedy(folder, wav, prompt, steps):
    """The most probable token after the other, straight from the logits."""
    from transformers import (
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )

    model = WhisperForConditionalGeneration.from_pretrained(folder).eval()
    extract = WhisperFeatureExtractor.from_pretrained(folder)
    features = extract(wav, sampling_rate=16000, return_tensors="pt").input_features
    tokens = [256 + SPECIAL.index(name) for name in prompt]
    for _ in range(steps):
        with torch.inference_mode():
            ids = torch.tensor([tokens])
            logits = model(input_features=features, decoder_input_ids=ids).logits
        tokens.append(int(logits[0, -1].argmax()))
        if tokens[-1] == 256:
            break
    tokenizer = WhisperTokenizer.from_pretrained(folder)
    return tokenizer.decode(tokens[len(prompt) :], skip_special_tokens=True).strip()


def test_whisper_reads_what_is_most_probable(folder, noise):
    recognise = load_recogniser("whisper", str(folder), temperature=0, max_new_tokens=6)
    prompt = ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]
    texts = recognise(noise)
    assert texts == [greedy(folder, wav, prompt, 6) for wav in noise]
    assert any(texts) and recognise.on_device and recognise.cleaner == "whisper_en"
    assert "whisper (" in recognise.identity and "language en" in recognise.identity
    german = load_recogniser(
        "whisper", str(folder), language="de", temperature=0, max_new_tokens=6
    )
    assert german.cleaner == "whisper_basic" and german.identity != recognise.identity
    prompt[1] = "<|de|>"
    assert german(noise[:1]) == [greedy(folder, noise[0], prompt, 6)]


def test_whisper_spectrograms_are_made_on_the_device(
    folder, noise, tmp_path, monkeypatch
):
    import whisper

    used = []

    def noting(function):
        def call(*args, device="none", **options):
            used.append(str(device))
            return function(*args, device=device, **options)

        return call

    recognise = load_recogniser("whisper", str(folder), temperature=0, max_new_tokens=2)
    extractor = type(recognise.parts[0])
    monkeypatch.setattr(extractor, "__call__", noting(extractor.__call__))
    recognise(noise[:1])
    monkeypatch.setattr(
        whisper, "log_mel_spectrogram", noting(whisper.log_mel_spectrogram)
    )
    load_recogniser("openai_whisper", str(save_openai(tmp_path / "tiny.pt")))(noise[:1])
    assert used == ["cpu", "cpu"]


def test_identities_hold_what_texts_depend_on(folder, tmp_path):
    def identity(path, **conf):
        return load_recogniser("whisper", str(path), **conf).identity

    usual = identity(folder)
    assert usual != identity(folder, temperature=0, max_new_tokens=6)
    assert usual != identity(folder, language="de")
    assert usual != (half := identity(folder, dtype="bfloat16"))
    fast = half if multiplies_bfloat16() else usual
    assert identity(folder, dtype="auto") == fast
    other = shutil.copytree(folder, tmp_path / folder.name)
    assert usual == identity(other)  # wherever it lies
    config = other / "generation_config.json"
    config.write_text(config.read_text() + " ")
    assert usual != identity(other)
    path = str(save_openai(tmp_path / "tiny.pt"))
    on_cpu, on_gpu = (
        load_recogniser("openai_whisper", path, device).identity
        for device in ("cpu", "cuda")
    )
    assert "float32" in on_cpu and on_gpu == on_cpu.replace("float32", "float16")


def test_whisper_of_one_language(tmp_path, noise):
    folder = save_transformers(tmp_path / "whisper.en", multilingual=False)
    recognise = load_recogniser("whisper", str(folder), temperature=0, max_new_tokens=6)
    prompt = ["<|startoftranscript|>", "<|notimestamps|>"]
    assert recognise(noise[:1]) == [greedy(folder, noise[0], prompt, 6)]


def test_whisper_hears_long_recordings_in_pieces(folder, noise):
    recognise = load_recogniser("whisper", str(folder), temperature=0, max_new_tokens=4)
    pause = np.zeros(3200, np.float32)
    first, second = np.resize(noise[0], 450000), noise[1]
    long = np.concatenate([first, pause, second, noise[2]])
    pieces = split_long(long, 480000)
    assert len(pieces) == 2 and 450000 < len(pieces[0]) < 453200  # in the pause
    assert (np.concatenate(pieces) == long).all()
    texts = recognise([long, noise[0]])
    parts = [text for piece in pieces for text in recognise([piece])]
    assert texts == [" ".join(parts).strip(), recognise(noise[:1])[0]]


def test_whisper_tries_again_what_it_doubts(folder, noise):
    """Random weights: nothing is probable, so that all attempts are made."""
    options = {"language": "", "max_new_tokens": 12, "no_speech_threshold": None}
    recognise = load_recogniser("whisper", str(folder), **options)
    heard = recognise.transcribe(noise)
    assert [t.temperature for t in heard] == [1.0] * 3
    assert all(t.avg_logprob < -1 and 0 < t.no_speech_prob < 1 for t in heard)
    assert all(t.language == t.detected and t.language_prob >= 0.5 for t in heard)
    assert heard == recognise.transcribe(noise)  # drawn, but from streams
    calm = {"logprob_threshold": None, "compression_ratio_threshold": None}
    greedy_one = load_recogniser("whisper", str(folder), **options, **calm)
    assert [t.temperature for t in greedy_one.transcribe(noise)] == [0.0] * 3
    assert "greedy" in load_recogniser("whisper", str(folder), temperature=0).identity
    assert "0 0.2 0.4" in recognise.identity and "log-prob" in recognise.identity


def test_whisper_that_knows_few_words(folder, noise, tmp_path):
    """However little it believes them, and at any temperature."""
    words = tmp_path / "words.txt"
    words.write_text("ab 12\n,\n")
    options = {"max_new_tokens": 30, "no_speech_threshold": None}
    usual = load_recogniser("whisper", str(folder), **options)
    confined = load_recogniser("whisper", str(folder), vocabulary=str(words), **options)
    heard = confined(noise)
    assert all(heard) and set("".join(heard)) <= set("ab12, ")
    assert not set("".join(usual(noise))) <= set("ab12, ")
    assert confined.identity == f"{usual.identity}, of the words ab 12 ,"
    words.write_text("\n")
    with pytest.raises(ValueError, match="words.txt: no words"):
        load_recogniser("whisper", str(folder), vocabulary=str(words))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_recogniser("whisper", str(folder), vocabulary="nowhere")


def test_whisper_batch_is_its_items(folder, noise):
    options = {"language": "", "max_new_tokens": 12, "no_speech_threshold": None}
    recognise = load_recogniser("whisper", str(folder), **options)
    alone = [recognise.transcribe([wav])[0] for wav in noise]
    for one, of_batch in zip(alone, recognise.transcribe(noise), strict=True):
        assert one.text == of_batch.text and one.temperature == of_batch.temperature
        assert one.avg_logprob == pytest.approx(of_batch.avg_logprob, abs=1e-4)


def test_whisper_leaves_out_windows_that_have_ended(folder, monkeypatch):
    """What is left of a batch, and what is asked again, say what they say alone."""
    _, decoding = load_recogniser("whisper", str(folder), max_new_tokens=40).parts
    decoding.banned[decoding.end] = 5.0  # after 1 to 23 tokens
    states = torch.randn(8, 30, 16, generator=torch.Generator().manual_seed(0))
    prompts = decoding.prompts(["en", "de"] * 4)
    sizes = []

    def noting(given, *args, logits=decoding._logits):
        sizes.append(len(given))
        return logits(given, *args)

    heard = torch.inference_mode()(decoding.look)(states)
    monkeypatch.setattr(decoding, "_logits", noting)

    @torch.inference_mode()
    def tokens(items, temperature):
        return decoding.tokens(*heard.rows(items), prompts[items], temperature)

    for items, temperature in (([*range(8)], 0.0), ([6, 1, 3, 0], 0.5)):
        sizes.clear()
        found, logprobs = tokens(items, temperature)
        assert len(items) == sizes[0] > 1 + sizes[-1]
        for item, row, logprob in zip(items, found, logprobs, strict=True):
            alone, of_one = tokens([item], temperature)
            steps = alone.size(1)
            assert (row[:steps] == alone[0]).all()
            assert (row[steps:] == decoding.end).all()
            assert float(logprob) == pytest.approx(float(of_one[0]), abs=1e-3)


def test_whisper_draws_what_its_temperature_says(folder):
    from espnet2_taste.asr.whisper_decoding import _draw

    logits = torch.tensor([[0.0, 1.0, -torch.inf, 2.0]])
    uniform = torch.linspace(0, 0.9999999, 10000)
    drawn = torch.cat([_draw(logits, u) for u in uniform])
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    assert torch.allclose(shares, logits[0].softmax(-1), atol=1e-3)


def test_whisper_reads_as_transformers_generates(folder, noise):
    recognise = load_recogniser("whisper", str(folder), temperature=0)
    extractor, decoding = recognise.parts
    features = extractor(noise, sampling_rate=16000, return_tensors="pt").input_features
    tokens = decoding.model.generate(
        features, language="en", task="transcribe", do_sample=False, max_new_tokens=224
    )
    said = decoding.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    assert recognise(noise) == [" ".join(text.split()) for text in said]


@pytest.mark.parametrize("name", ["whisper", "openai_whisper"])
def test_whisper_of_an_unknown_language(folder, tmp_path, name):
    model = folder if name == "whisper" else save_openai(tmp_path / "tiny.pt")
    with pytest.raises(ValueError, match="no language 'klingon'; this model knows"):
        load_recogniser(name, str(model), language="klingon")
    assert load_recogniser(name, str(model), language="German").language == "de"


def test_whisper_that_is_not_here(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "empty").mkdir()
    for model in (tmp_path / "empty", "nobody/no-whisper"):
        with pytest.raises(Unavailable, match="Whisper .*--asr_model"):
            load_recogniser("whisper", str(model))
    with pytest.raises(Unavailable, match="no-folder .*: no such folder"):
        load_recogniser("whisper", str(tmp_path / "no-folder"))


def greedy_openai(path, wav):
    """The same with OpenAI's logits; it bans tokens that are no speech."""
    import whisper

    model = whisper.load_model(str(path))
    tokenizer = whisper.tokenizer.get_tokenizer(True, language="en", task="transcribe")
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(torch.from_numpy(wav)))
    banned = [*tokenizer.non_speech_tokens, tokenizer.transcribe, tokenizer.translate]
    banned += [tokenizer.sot, tokenizer.sot_prev, tokenizer.sot_lm, tokenizer.no_speech]
    tokens = list(tokenizer.sot_sequence_including_notimestamps)
    begin = len(tokens)
    with torch.inference_mode():
        features = model.embed_audio(mel[None])
        for _ in range(model.dims.n_text_ctx // 2):
            logits = model.logits(torch.tensor([tokens]), features)[0, -1]
            logits[banned] = -torch.inf
            if len(tokens) == begin:  # not silence at once
                logits[[*tokenizer.encode(" "), tokenizer.eot]] = -torch.inf
            tokens.append(int(logits.argmax()))
            if tokens[-1] == tokenizer.eot:
                break
    said = [token for token in tokens[begin:] if token < tokenizer.eot]
    return tokenizer.decode(said).strip()


def test_openai_whisper(tmp_path, noise):
    path = save_openai(tmp_path / "tiny.pt")
    recognise = load_recogniser("openai_whisper", str(path), temperature=0)
    texts = recognise(noise)
    assert texts == [greedy_openai(path, wav) for wav in noise] and any(texts)
    assert "tiny.pt (" in recognise.identity and recognise.cleaner == "whisper_en"


def test_openai_whisper_tries_again_what_it_doubts(tmp_path, noise):
    recognise = load_recogniser(
        "openai_whisper",
        str(save_openai(tmp_path / "tiny.pt")),
        language="",
        no_speech_threshold=None,
        temperature=[0, 0.5],
    )
    heard = recognise.transcribe(noise)
    assert {t.temperature for t in heard} == {0.5}
    assert [t.text for t in heard] == [recognise([wav])[0] for wav in noise]


def test_openai_whisper_that_is_not_here(tmp_path):
    with pytest.raises(ValueError, match="nothing is neither a file nor one of"):
        load_recogniser("openai_whisper", "nothing")
    root = tmp_path / "a file"
    root.write_text("")
    with pytest.raises(Unavailable, match="Whisper tiny .*--asr_model"):
        load_recogniser("openai_whisper", "tiny", download_root=str(root))
