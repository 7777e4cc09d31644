from espnet2_taste.random_streams import item_generator


def test_streams_are_fixed_on_every_machine_and_differ_by_either_seed():
    seeds = [item_generator(*pair).initial_seed() for pair in ((0, 0), (123, -4))]
    assert seeds == [3560153452049741418, 3529926152812353242]
    pairs = ((0, 0), (0, 1), (1, 0), (1, 1), (11, 0), (1, 10))
    assert len({item_generator(*pair).initial_seed() for pair in pairs}) == len(pairs)
