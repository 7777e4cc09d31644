"""Speed and memory of the product's own classes, beside the naive way of doing it."""
