import torch
from torch.nn.utils.rnn import pad_sequence

from espnet2_taste.taste.frontend.whisper_mel import WhisperMelFrontend


def test_log_mel(parity):
    data = parity.load("frontend")
    wavs = [data["wav0"], data["wav1"]]
    lengths = torch.tensor([len(wav) for wav in wavs])
    frontend = WhisperMelFrontend(n_mels=data["logmel0_first400"].size(1))
    feats, feats_lengths = frontend(pad_sequence(wavs, batch_first=True), lengths)
    assert feats.shape[:2] == (2, 3000)
    # The reference gives every item the length of item 0.
    assert feats_lengths.tolist() == (lengths // 160).tolist()
    assert feats_lengths[0] == data["feature_lengths"][0]
    for item in range(2):
        want = data[f"logmel{item}_first400"]
        torch.testing.assert_close(feats[item, :400], want, atol=2e-5, rtol=0)
        tail = data["logmel_tail_value"][item].expand(feats[item, 400:].shape)
        torch.testing.assert_close(feats[item, 400:], tail, atol=2e-5, rtol=0)


def test_unpadded_features_are_the_first_of_the_padded(parity):
    data = parity.load("frontend")
    wavs = [data["wav0"], data["wav1"]]
    frontend = WhisperMelFrontend(n_mels=128, pad_to_30s=False)
    lengths = torch.tensor([len(wav) for wav in wavs])
    feats, feats_lengths = frontend(pad_sequence(wavs, batch_first=True), lengths)
    for item, frames in enumerate(feats_lengths.tolist()):
        want = data[f"logmel{item}_first400"][:frames]
        torch.testing.assert_close(feats[item, :frames], want, atol=2e-5, rtol=0)
