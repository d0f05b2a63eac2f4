"""Models: two-tower retrieval, candidate merging, ranking, baselines and their evaluation. No Ray, no sockets."""
