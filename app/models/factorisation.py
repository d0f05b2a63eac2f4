"""Matrix factorisation baselines of the `implicit` library: iALS (Hu et al., 2008) and BPR (Rendle et al., 2009).

One thread and a fixed seed, so that two runs give identical factors.
"""

import numpy as np
from numpy.typing import NDArray

from app.models.baselines import Past, Scores


def ials(past: Past, *, factors: int, alpha: float, regularization: float = 0.1, num_iterations: int = 20) -> Scores:
    """Weighted least squares in turns; a met pair has the confidence `1 + alpha`."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # implicit is slowed tenfold by a BLAS that has threads of its own
        model = AlternatingLeastSquares(
            factors=factors,
            regularization=regularization,
            alpha=alpha,
            iterations=num_iterations,
            num_threads=1,
            random_state=0,
        )
        model.fit(past.matrix, show_progress=False)
    return _product(np.asarray(model.user_factors), np.asarray(model.item_factors))


def bpr(
    past: Past, *, factors: int, learning_rate: float, regularization: float = 0.01, num_epochs: int = 50
) -> Scores:
    """Pairwise ranking by stochastic gradients: a met content above one that was not."""
    from implicit.cpu.bpr import BayesianPersonalizedRanking
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        model = BayesianPersonalizedRanking(
            factors=factors,
            learning_rate=learning_rate,
            regularization=regularization,
            iterations=num_epochs,
            num_threads=1,
            random_state=0,
        )
        model.fit(past.matrix, show_progress=False)
    return _product(np.asarray(model.user_factors), np.asarray(model.item_factors))


def _product(learners: NDArray[np.float32], items: NDArray[np.float32]) -> Scores:
    return lambda rows: learners[rows] @ items.T
