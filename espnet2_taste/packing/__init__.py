"""How a packed model is made; ``espnet2_taste.packed`` says what it is."""
