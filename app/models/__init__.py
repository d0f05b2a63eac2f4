"""Models: two-tower retrieval, candidate merging, ranking, baselines and their evaluation. No Ray, no sockets.

How they are made, whoever runs it (a job on the cluster, or one process offline):
1. `Dataset`, examples (`features.examples`) and, from the times of all examples, a `Timeline`.
2. Early towers: `fit_towers` on examples before `ranker_from`, stopped by a sample of those in [ranker_from,
   holdout_from). Embed and save them before going on: the next step changes the same model.
3. Final towers: `continue_towers` over all examples before `holdout_from`.
4. Ranker: `items_at(…, early embeddings, now=ranker_from)`, `ranking_set` over the examples in [ranker_from,
   holdout_from) with the early towers' embeddings (they never saw those), `fit_ranker`.
5. Verdict: `hold_out` and `judge` with the final towers and items as of `holdout_from`.
6. Release: final user tower, ranker, `items_at(…, final embeddings, now=end)`, catalogue, vocabulary, FAISS index.
"""
