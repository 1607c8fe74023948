"""Everything the commands do, as calls; a file for each subject.

>>> import lmkit
>>> rows = ("rows", b"row row row your boat\\n")
>>> m = lmkit.train([rows], order=2, smoothing="mle", tokenizer="whitespace")
>>> m.sample(n=3, prompt="row your", temperature=0, seed=1)
' boat\\nrow'
>>> round(m.log_prob("row your boat"), 4)      # log 1/3: after "row" come "row", "row" and "your"
-1.0986
>>> m.next("row", top=1)
[NextToken(token='row', id=3, probability=0.666..., count=2, total=3)]

Progress: calls that take long accept `progress(phase, done, total, unit)`, called now and then, from any
thread: `phase` is a word or two ("reading", "counting"), `done` and `total` are numbers of `unit` ("B",
"tokens", "n-grams"), and `total` is None where it is not known.
"""

# ruff: noqa: F401 (names are gathered here; those that `lmkit` has are listed once, in `lmkit/__init__.py`)

from lmkit.api.charts import learning_curves, plot, vary
from lmkit.api.comparisons import compare
from lmkit.api.explanations import explain, explain_page, explained_svg, neurons
from lmkit.api.generation import NextToken, next_tokens, sample
from lmkit.api.mixtures import mix
from lmkit.api.models import Model, info, load
from lmkit.api.ngrams import arpa, count, from_arpa, prune
from lmkit.api.quizzes import quiz
from lmkit.api.scoring import filter_lines, perplexity, rescore, score
from lmkit.api.similarity import nearest
from lmkit.api.texts import detokenize, tokenize
from lmkit.api.training import resume, train
