from espnet2_taste.io import identity
from espnet2_taste.io.identity import sha256, weights_identity


def test_weights_are_read_once_and_again_when_they_change(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    read = []

    def counted(*files):
        read.append(files)
        return sha256(*files)

    monkeypatch.setattr(identity, "sha256", counted)
    names = {weights_identity(folder) for _ in range(3)}
    assert len(names) == len(read) == 1
    (folder / "config.json").write_text('{"changed": true}')
    assert weights_identity(folder) not in names and len(read) == 2
