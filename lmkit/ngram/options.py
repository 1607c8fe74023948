"""The choices behind an n-gram model."""

from __future__ import annotations

import dataclasses
import itertools

from lmkit.errors import OptionError
from lmkit.threads import available

__all__ = ["MAX_ORDER", "SMOOTHINGS", "NGramOptions"]

MAX_ORDER = 32
SMOOTHINGS = ("modified-kneser-ney", "mle", "add-k")


@dataclasses.dataclass(frozen=True)
class NGramOptions:
    """How to count and to smooth.

    Attributes
    ----------
    order : int
        n: a word is predicted from the n - 1 before it, 1 to 32.
    smoothing : str
        "modified-kneser-ney", "mle" (maximum likelihood) or "add-k".
    k : float
        What add-k adds to every count.
    interpolate_unigrams : bool
        Mix the unigrams with the uniform distribution; otherwise `<unk>` gets all the mass that is left over.
    discount_fallback : tuple of three floats, optional
        D1, D2 and D3+ for orders whose counts of counts do not yield discounts. None: 0.5, 1, 1.5 and a warning.
    cutoffs : tuple of int
        Per order, the largest count that is dropped; the last one holds for all higher orders. The first is 0.
    limit_vocabulary : tuple of str, optional
        Drop every n-gram with a word that is not among these, after counting and discounting with all of them.
    threads : int, optional
        At most this many threads count, by default as many as there are cores; the model is the same for all.

    Raises
    ------
    OptionError
        A value is out of its range, or options that exclude each other are given together.
    """

    order: int = 5
    smoothing: str = "modified-kneser-ney"
    k: float | None = None
    interpolate_unigrams: bool = True
    discount_fallback: tuple[float, float, float] | None = None
    cutoffs: tuple[int, ...] = (0,)
    limit_vocabulary: tuple[str, ...] | None = None
    threads: int | None = None

    def __post_init__(self):
        if self.threads is None:
            object.__setattr__(self, "threads", available())
        for name, kind in (("order", int), ("threads", int), ("k", (int, float, type(None)))):
            if not isinstance(getattr(self, name), kind):
                raise OptionError(f"--{name} is {getattr(self, name)!r}, which is no number of the right kind")
        if not 1 <= self.order <= MAX_ORDER:
            raise OptionError(f"--order is {self.order}; it must be from 1 to {MAX_ORDER}")
        if self.smoothing not in SMOOTHINGS:
            raise OptionError(f"--smoothing is {self.smoothing!r}; choose one of {', '.join(SMOOTHINGS)}")
        if self.threads < 1:
            raise OptionError(f"--threads is {self.threads}; it must be at least 1")
        self._check_smoothing()
        self._check_cutoffs()

    def _check_smoothing(self):
        if self.smoothing == "add-k":
            k = 1.0 if self.k is None else self.k
            if not 1e-30 <= k <= 1e9:
                raise OptionError(f"--k is {k:g}; it must be from 1e-30 to 1e9")
            object.__setattr__(self, "k", float(k))
        elif self.k is not None:
            raise OptionError(f"--k goes with --smoothing add-k, not with {self.smoothing}")
        if self.smoothing != "modified-kneser-ney":
            for given, name in (
                (self.discount_fallback is not None, "--discount-fallback"),
                (not self.interpolate_unigrams, "--no-interpolate-unigrams"),
            ):
                if given:
                    raise OptionError(f"{name} goes with --smoothing modified-kneser-ney, not with {self.smoothing}")
        if self.discount_fallback is not None:
            fallback = tuple(float(d) for d in self.discount_fallback)
            if len(fallback) != 3 or not all(0 <= d <= j for j, d in enumerate(fallback, start=1)):
                raise OptionError(
                    f"--discount-fallback is {','.join(f'{d:g}' for d in fallback)}; it takes three discounts "
                    "D1,D2,D3 with 0 <= Dj <= j, such as 0.5,1,1.5"
                )
            object.__setattr__(self, "discount_fallback", fallback)

    def _check_cutoffs(self):
        try:
            cutoffs = tuple(int(c) for c in self.cutoffs)
        except (TypeError, ValueError):
            raise OptionError(f"--cutoffs is {self.cutoffs!r}; it takes whole numbers, such as 0,0,1") from None
        listed = ",".join(map(str, cutoffs))
        if not cutoffs or cutoffs[0] != 0:
            raise OptionError(f"--cutoffs is {listed!r}; the first one, for single words, must be 0")
        if any(a > b for a, b in itertools.pairwise(cutoffs)):
            raise OptionError(f"--cutoffs is {listed}; a higher order cannot have a lower cut-off")
        if len(cutoffs) > self.order:
            raise OptionError(f"--cutoffs {listed} names {len(cutoffs)} orders; the model has {self.order}")
        object.__setattr__(self, "cutoffs", cutoffs + (cutoffs[-1],) * (self.order - len(cutoffs)))

    @property
    def drops(self) -> bool:
        """Whether some n-grams are counted but not kept."""
        return any(self.cutoffs) or self.limit_vocabulary is not None

    def describe(self) -> dict:
        """Return the choices that make the model what it is, ready for JSON."""
        described = {"order": self.order, "smoothing": self.smoothing}
        if self.smoothing == "add-k":
            described["k"] = self.k
        if self.smoothing == "modified-kneser-ney":
            described["interpolate_unigrams"] = self.interpolate_unigrams
        if any(self.cutoffs):
            described["cutoffs"] = list(self.cutoffs)
        if self.limit_vocabulary is not None:
            described["limit_vocabulary"] = len(self.limit_vocabulary)
        return described
