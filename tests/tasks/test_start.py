"""What makes trainings start and end quickly."""

from espnet2.train.reporter import Reporter

from espnet2_taste.tasks.saving_trainer import seldom_drawn


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
