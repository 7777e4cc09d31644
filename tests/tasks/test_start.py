"""What makes trainings start and end quickly."""

import sys

from espnet2.train.reporter import Reporter

from espnet2_taste.tasks import _import_when_called
from espnet2_taste.tasks.saving_trainer import seldom_drawn


def test_imported_when_called(tmp_path, monkeypatch):
    (tmp_path / "costly.py").write_text(
        "def double(x, more=0):\n    return 2 * x + more\n\n\nother = 5\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "costly", None)
    for use in ("call", "read"):
        del sys.modules["costly"]
        _import_when_called("costly", "double")
        from costly import double

        assert not hasattr(sys.modules["costly"], "__file__")
        if use == "call":
            assert double(2, more=1) == 5
        else:
            from costly import other

            assert other == 5 and double(3) == 6
        assert sys.modules["costly"].__file__ == str(tmp_path / "costly.py")


def test_curves_are_drawn_seldom_and_at_last(tmp_path, monkeypatch):
    drawn, reporter = [], Reporter()
    monkeypatch.setattr(
        Reporter, "matplotlib_plot", lambda self, _: drawn.append(self.get_epoch())
    )

    def train(epochs):
        with seldom_drawn():
            for epoch in range(1, epochs + 1):
                reporter.set_epoch(epoch)
                reporter.matplotlib_plot(tmp_path)

    train(4)
    assert drawn == [2, 4]
    train(1)  # a dot says nothing
    assert drawn == [2, 4]
