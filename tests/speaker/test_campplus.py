import logging
import sys

import numpy as np
import pytest
import torch
import torchaudio
from tiny_onnx import write_campplus, write_s3

from espnet2_taste.speaker import load_speaker_encoder
from espnet2_taste.speaker.campplus import fbank

onnxruntime = pytest.importorskip("onnxruntime")


def noise(samples, seed=0):
    torch.manual_seed(seed)
    return 0.1 * torch.randn(samples)


def reference(file, wav):
    """The embedding as the reference computes it."""
    features = torchaudio.compliance.kaldi.fbank(
        wav[None], num_mel_bins=80, dither=0, sample_frequency=16000
    )
    features = features - features.mean(dim=0, keepdim=True)
    session = onnxruntime.InferenceSession(str(file))
    name = session.get_inputs()[0].name
    return session.run(None, {name: features[None].numpy()})[0][0]


@pytest.mark.parametrize("any_batch_size", [True, False])
def test_equals_reference_batch_equals_single(tmp_path, any_batch_size):
    file = write_campplus(tmp_path / "x.onnx", 12, any_batch_size)
    encoder = load_speaker_encoder("campplus", str(file))
    assert (encoder.embed_dim, encoder.sample_rate) == (12, 16000)
    assert encoder.any_batch_size == any_batch_size
    wavs = [noise(n, i) for i, n in enumerate((16000, 9000, 16000, 16001, 30000))]
    together = encoder(wavs)
    assert together.dtype == torch.float32
    for wav, row in zip(wavs, together, strict=True):
        torch.testing.assert_close(encoder([wav])[0], row)
        np.testing.assert_allclose(row, reference(file, wav), rtol=1e-5, atol=1e-6)


def test_short_audio_is_repeated(tmp_path):
    encoder = load_speaker_encoder(
        "campplus", str(write_campplus(tmp_path / "campplus.onnx"))
    )
    short = noise(500)
    torch.testing.assert_close(encoder([short]), encoder([short.repeat(7)]))
    assert encoder([torch.zeros(0), noise(1), short]).isfinite().all()
    assert fbank(noise(500)).shape == fbank(noise(3500)).shape
    np.testing.assert_allclose(fbank(noise(8000)).mean(0), 0, atol=1e-4)
    assert encoder([]).shape == (0, 12)


def test_found_in_a_folder(tmp_path):
    (tmp_path / "cosyvoice").mkdir()
    write_campplus(tmp_path / "cosyvoice" / "speaker_embed.onnx")
    for folder in (tmp_path, tmp_path / "cosyvoice"):
        assert load_speaker_encoder("campplus", str(folder)).embed_dim == 12


def test_what_is_no_campplus_is_refused_in_one_line(tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    write_s3(tmp_path / "units.onnx")
    for name in ("text", "units"):
        with pytest.raises(ValueError, match=f"{name}.onnx is no speaker enc") as error:
            load_speaker_encoder("campplus", str(tmp_path / f"{name}.onnx"))
        assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="no file or folder .*nowhere"):
        load_speaker_encoder("campplus", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="has none of campplus.onnx, speaker"):
        load_speaker_encoder("campplus", str(tmp_path))


def test_cuda_falls_back_to_the_cpu_aloud(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"]
    )
    file = write_campplus(tmp_path / "campplus.onnx")
    with caplog.at_level(logging.WARNING):
        assert load_speaker_encoder("campplus", str(file), device="cuda").embed_dim
    assert "install onnxruntime-gpu" in caplog.text


@pytest.mark.parametrize("device, number", [("cuda", "0"), ("cuda:3", "3")])
def test_cuda_runs_on_the_gpu_that_was_named(tmp_path, monkeypatch, device, number):
    made = []
    session = onnxruntime.InferenceSession

    def on_cpu(file, options, providers):
        made.append(providers)
        return session(file, options, ["CPUExecutionProvider"])

    provider = "CUDAExecutionProvider"
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [provider])
    monkeypatch.setattr(onnxruntime, "InferenceSession", on_cpu)
    file = write_campplus(tmp_path / "campplus.onnx")
    load_speaker_encoder("campplus", str(file), device=device)
    # not an exhaustive search of algorithms for every new length
    options = {"device_id": number, "cudnn_conv_algo_search": "HEURISTIC"}
    assert made == [[(provider, options), "CPUExecutionProvider"]]


def test_missing_package_names_its_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RuntimeError, match=r"onnxruntime is not .*taste\[onnx\]"):
        load_speaker_encoder("campplus", str(tmp_path))
