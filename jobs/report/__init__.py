"""The report of ranked lists: metrics with intervals, baselines on the same split, and a page that shows them."""
