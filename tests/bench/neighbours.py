"""How good the neighbours are that `lmkit nearest` finds: python tests/bench/neighbours.py MODEL...

A set of words that a person takes for alike (months, pronouns, kin ...) is found again as far as the nearest tokens of
each of its members are the others: of ten, or as many as there are others. The mean over the sets whose words a model
knows is printed, by both sides, and by each alone; for n-grams also by positive pointwise mutual information, cosines
of max(0, log p(w | v) / p(w)) over the same neighbours (Church and Hanks 1990; Bullinaria and Levy 2007).
"""

from __future__ import annotations

import sys

import numpy as np

import lmkit
from lmkit.similarity import SIDES
from lmkit.vectors import SparseVectors

NEAREST, FEWEST = 10, 3
SETS = [line.split() for line in """
one two three four five six seven eight nine ten twenty thirty
first second third fourth fifth sixth
will would shall should can could may might must
he she they we you I it
my your his her our their its thy
him them us me
of in on at by with from to for into upon through
and but or for because if when while although though
who what when where why how which whose
. ? ! ; : ,
the a an this that these those some any every each no all
is are was were be been am
now then here there never always ever often still again
January February March April May June July August September October November December
january february march april may june july august september october november december
monday tuesday wednesday thursday friday saturday sunday
father mother brother sister son daughter wife husband uncle cousin nephew
king queen prince duke earl princess emperor
lord lady sir madam gentleman lords gentlemen
hand heart head eye face tongue arm breast neck foot eyes hands arms
good fair sweet noble gentle gracious dear kind
Romeo Juliet Tybalt Warwick Clarence Edward Richard Henry Margaret Marcius Gloucester Hastings Buckingham
Rome Verona London England France Mantua Padua Venice Pisa Bohemia
speak say tell hear see know think look come go stay stand
art hast dost wilt shalt canst wert didst
hath doth has does had did
love hate hope fear joy grief sorrow honour shame death life
sun moon earth sea sky heaven wind air
france germany japan canada sweden finland norway netherlands italy australia switzerland china
tcp udp sctp dccp icmp ip http smtp ftp sip snmp imap
sends receives forwards processes discards transmits generates returns
send receive forward process discard transmit generate return reject accept
packet message frame datagram segment request response
server client router host node proxy gateway
seconds minutes hours days milliseconds bytes octets bits
large small larger smaller long short longer shorter
red green blue white black yellow
""".strip().splitlines()]  # fmt: skip


def found_again(model, vectors) -> float:
    """Return the mean share of a set that is found again, by the mean of the cosines of some vectors."""
    shares = []
    for words in SETS:
        ids = [i for i in map(model.text.vocabulary.id, words) if i is not None]
        if len(ids) < FEWEST:
            continue
        similarity = sum(of_side.cosines(np.array(ids)) for of_side in vectors)
        similarity[:, :3] = -np.inf
        similarity[np.arange(len(ids)), ids] = -np.inf
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :NEAREST]
        shares.append(np.isin(nearest, ids).sum(axis=1).mean() / min(NEAREST, len(ids) - 1))
    return float(np.mean(shares))


def mutual_information(model) -> list[SparseVectors]:
    """Return vectors of positive pointwise mutual information of the bigrams of a plain n-gram model."""
    trie = model.language_model.trie
    first, second, log_p = trie.bigrams("the model")
    values = np.maximum(log_p - trie.level(1).view(np.float32)[second, 2], 0).astype(np.float64)
    return [SparseVectors(second, first, values, trie.sizes[1]), SparseVectors(first, second, values, trie.sizes[1])]


def main(paths: list[str]) -> None:
    for path in paths:
        model = lmkit.load(path)
        both = model.token_vectors()
        ways = dict(zip(SIDES, (both, both[:1], both[1:]), strict=True))
        if model.family == "ngram" and "quantize" not in model.settings():
            ways["mutual information"] = mutual_information(model)
        print(path, *(f"{name} {found_again(model, vectors):.3f}" for name, vectors in ways.items()), sep="\t")


if __name__ == "__main__":
    main(sys.argv[1:])
