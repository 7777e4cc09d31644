"""The tabs of the page: each lays out controls and calls what computes."""
