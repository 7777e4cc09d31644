from espnet2_taste.random_streams import item_generator, item_seed


def test_streams_are_fixed_on_every_machine_and_differ_by_either_seed():
    seeds = [item_generator(*pair).initial_seed() for pair in ((0, 0), (123, -4))]
    assert seeds == [3560153452049741418, 3529926152812353242]
    pairs = ((0, 0), (0, 1), (1, 0), (1, 1), (11, 0), (1, 10))
    assert len({item_generator(*pair).initial_seed() for pair in pairs}) == len(pairs)


def test_names_have_streams_of_their_own():
    names = ("utt1", "utt2", "a-very-long-prefix-utt1", "caf\u00e9", "")
    seeds = [item_seed(name) for name in names]
    assert seeds[0] == 15657857204231060957
    assert len(set(seeds)) == len(names)
