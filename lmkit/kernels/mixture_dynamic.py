"""The step of dynamic evaluation: one pass over all weights."""

from lmkit.kernels import kernel
from lmkit.kernels.activations import CONTRACT

__all__ = ["learn"]


@kernel(fastmath=CONTRACT)
def learn(change, gradient, kept, rates, shorten):
    """change = kept change - rates shorten gradient (Krause et al. 2018, equations 5 and 6).

    Parameters
    ----------
    change, gradient : array (P,)
    kept, rates : array (P,), or (1,) where all weights share one
    shorten : float
        Of the type of the arrays, as all are.
    """
    if rates.size == 1:
        all_kept, rate = kept[0], rates[0] * shorten
        for i in range(change.size):
            change[i] = all_kept * change[i] - rate * gradient[i]
    else:
        for i in range(change.size):
            change[i] = kept[i] * change[i] - rates[i] * shorten * gradient[i]
