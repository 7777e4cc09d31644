"""Train a TASLM: every option of :class:`espnet2_taste.tasks.taslm.TaslmTask`."""

from espnet2_taste.tasks.taslm import TaslmTask


def get_parser():
    return TaslmTask.get_parser()


def main(cmd=None):
    TaslmTask.main(cmd=cmd)


if __name__ == "__main__":
    main()
