"""The choices behind an n-gram model."""

from __future__ import annotations

import dataclasses
import itertools

from lmkit.errors import OptionError
from lmkit.threads import usable

__all__ = ["BACK_OFF", "INTERPOLATE", "MAX_ORDER", "SMOOTHINGS", "NGramOptions", "check_cutoffs"]

MAX_ORDER = 32
INTERPOLATE, BACK_OFF = "interpolate", "back-off"
SMOOTHINGS: dict[str, tuple[str, ...]] = {  # each with how it can use the shorter context, by default the first
    "modified-kneser-ney": (INTERPOLATE, BACK_OFF),
    "kneser-ney": (INTERPOLATE, BACK_OFF),
    "absolute": (INTERPOLATE, BACK_OFF),
    "witten-bell": (INTERPOLATE, BACK_OFF),
    "katz": (BACK_OFF,),
    "jelinek-mercer": (INTERPOLATE,),
    "stupid-backoff": (BACK_OFF,),
    "add-k": (INTERPOLATE, BACK_OFF),  # interpolated with the uniform distribution
    "mle": (),
}
DISCOUNTED = ("kneser-ney", "absolute")  # by one number
SPARE_UNIGRAMS = ("modified-kneser-ney", "kneser-ney", "absolute", "witten-bell", "katz")  # leave some for `<unk>`


@dataclasses.dataclass(frozen=True)
class NGramOptions:
    """How to count and to smooth.

    Attributes
    ----------
    order : int
        n: a word is predicted from the n - 1 before it, 1 to 32.
    smoothing : str
        One of SMOOTHINGS; see `lmkit.ngram.estimators`.
    interpolate : bool, optional
        Whether seen n-grams get a share of the shorter context's probability, too, or it is asked for unseen ones
        only. None: what the smoothing is known for.
    k : float
        What add-k adds to every count.
    discount : float, optional
        What absolute discounting and Kneser-Ney smoothing take off each count, 0 to 1. None: estimated.
    alpha : float
        What stupid back-off multiplies the score of the shorter context by.
    interpolate_unigrams : bool
        Spread what the unigrams leave over all words; otherwise `<unk>` gets it.
    discount_fallback : tuple of three floats, optional
        D1, D2 and D3+ for orders whose counts of counts do not yield discounts. None: 0.5, 1, 1.5 and a warning.
    cutoffs : tuple of int
        Per order, the largest count that is dropped; the last one holds for all higher orders. The first is 0.
    keep_counts : bool
        Keep how often each n-gram was seen, for `next` to show and `prune` to cut off by.
    limit_vocabulary : tuple of str, optional
        Drop every n-gram with a word that is not among these, after counting and discounting with all of them.
    threads : int, optional
        At most this many threads count, by default as many as there are cores; the model is the same for all.
    memory : int, optional
        Bytes that training may take; what does not fit is worked off from temporary files. None: four fifths of what
        is free. The model is the same.
    temp : str, optional
        The folder of temporary files. None: the system's.

    Raises
    ------
    OptionError
        A value is out of its range, or options that exclude each other are given together.
    """

    order: int = 5
    smoothing: str = "modified-kneser-ney"
    interpolate: bool | None = None
    k: float | None = None
    discount: float | None = None
    alpha: float | None = None
    interpolate_unigrams: bool = True
    discount_fallback: tuple[float, float, float] | None = None
    cutoffs: tuple[int, ...] = (0,)
    keep_counts: bool = False
    limit_vocabulary: tuple[str, ...] | None = None
    threads: int | None = None
    memory: int | None = None
    temp: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "threads", usable(self.threads))
        numbers = (int, float, type(None))
        for name, kind in (
            ("order", int), ("memory", (int, type(None))),
            ("k", numbers), ("discount", numbers), ("alpha", numbers),
        ):  # fmt: skip
            if not isinstance(getattr(self, name), kind):
                raise OptionError(f"--{name} is {getattr(self, name)!r}, which is no number of the right kind")
        if not 1 <= self.order <= MAX_ORDER:
            raise OptionError(f"--order is {self.order}; it must be from 1 to {MAX_ORDER}")
        if self.smoothing not in SMOOTHINGS:
            raise OptionError(f"--smoothing is {self.smoothing!r}; choose one of {', '.join(SMOOTHINGS)}")
        if self.memory is not None and self.memory < 1:
            raise OptionError(f"--memory is {self.memory}; it must be at least 1 byte")
        self._check_smoothing()
        object.__setattr__(self, "cutoffs", check_cutoffs(self.cutoffs, self.order))

    def _check_smoothing(self):
        ways = SMOOTHINGS[self.smoothing]
        if self.interpolate is None:
            object.__setattr__(self, "interpolate", INTERPOLATE in ways[:1])
        elif (INTERPOLATE if self.interpolate else BACK_OFF) not in ways:
            flag = INTERPOLATE if self.interpolate else BACK_OFF
            raise OptionError(f"--{flag} does not go with --smoothing {self.smoothing}; leave it out")
        self._number("k", ("add-k",), 1.0, lambda k: 1e-30 <= k <= 1e9, "from 1e-30 to 1e9")
        self._number("discount", DISCOUNTED, None, lambda d: 0 <= d <= 1, "from 0 to 1")
        self._number("alpha", ("stupid-backoff",), 0.4, lambda a: 0 < a <= 1, "over 0 and at most 1")
        for given, name, smoothings in (
            (self.discount_fallback is not None, "--discount-fallback", ("modified-kneser-ney",)),
            (not self.interpolate_unigrams, "--no-interpolate-unigrams", SPARE_UNIGRAMS),
        ):
            if given and self.smoothing not in smoothings:
                raise OptionError(f"{name} goes with --smoothing {' or '.join(smoothings)}, not with {self.smoothing}")
        if self.discount_fallback is not None:
            fallback = tuple(float(d) for d in self.discount_fallback)
            if len(fallback) != 3 or not all(0 <= d <= j for j, d in enumerate(fallback, start=1)):
                raise OptionError(
                    f"--discount-fallback is {','.join(f'{d:g}' for d in fallback)}; it takes three discounts "
                    "D1,D2,D3 with 0 <= Dj <= j, such as 0.5,1,1.5"
                )
            object.__setattr__(self, "discount_fallback", fallback)

    def _number(self, name, smoothings, default, fine, expected):
        """Check a number that belongs to some smoothings, or fill it in."""
        value = getattr(self, name)
        if self.smoothing not in smoothings:
            if value is not None:
                raise OptionError(
                    f"--{name} goes with --smoothing {' or '.join(smoothings)}, not with {self.smoothing}"
                )
            return
        value = default if value is None else value
        if value is not None and not fine(value):
            raise OptionError(f"--{name} is {value:g}; it must be {expected}")
        object.__setattr__(self, name, value if value is None else float(value))

    @property
    def keeps_counts(self) -> bool:
        """Whether the model keeps how often its n-grams were seen: on demand, and where p is no more than that."""
        return self.keep_counts or self.smoothing in ("mle", "add-k")

    @property
    def holds_out(self) -> bool:
        """Whether a part of the text is needed that is not counted."""
        return self.smoothing == "jelinek-mercer"

    @property
    def drops(self) -> bool:
        """Whether some n-grams are counted but not kept."""
        return any(self.cutoffs) or self.limit_vocabulary is not None

    def describe(self) -> dict:
        """Return the choices that make the model what it is, ready for JSON."""
        described = {"order": self.order, "smoothing": self.smoothing}
        if SMOOTHINGS[self.smoothing]:
            described["interpolate"] = self.interpolate
        for name in ("k", "discount", "alpha"):
            if getattr(self, name) is not None:
                described[name] = getattr(self, name)
        if self.smoothing in SPARE_UNIGRAMS:
            described["interpolate_unigrams"] = self.interpolate_unigrams
        if any(self.cutoffs):
            described["cutoffs"] = list(self.cutoffs)
        if self.limit_vocabulary is not None:
            described["limit_vocabulary"] = len(self.limit_vocabulary)
        return described


def check_cutoffs(cutoffs: tuple[int, ...], order: int) -> tuple[int, ...]:
    """Return a cut-off for each order up to a model's.

    Raises
    ------
    OptionError
        They are no climbing whole numbers from 0 on, or too many.
    """
    try:
        cutoffs = tuple(int(c) for c in cutoffs)
    except (TypeError, ValueError):
        raise OptionError(f"--cutoffs is {cutoffs!r}; it takes whole numbers, such as 0,0,1") from None
    listed = ",".join(map(str, cutoffs))
    if not cutoffs or cutoffs[0] != 0:
        raise OptionError(f"--cutoffs is {listed!r}; the first one, for single words, must be 0")
    if any(a > b for a, b in itertools.pairwise(cutoffs)):
        raise OptionError(f"--cutoffs is {listed}; a higher order cannot have a lower cut-off")
    if len(cutoffs) > order:
        raise OptionError(f"--cutoffs {listed} names {len(cutoffs)} orders; the model has {order}")
    return cutoffs + (cutoffs[-1],) * (order - len(cutoffs))
