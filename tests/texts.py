"""Small texts that several tests use."""

COWS = "cows eat corn\n" * 4 + "cows eat grass\n" * 3 + "cows eat hay\n" * 2 + "cows eat if\ncows eat which\n"
"""The lecture's eleven phrases: after "cows eat" come corn 4, grass 3, hay 2, if 1, which 1 times."""

VERSES = (
    "ROMEO:\nBut soft, what light through yonder window breaks?",
    "It is the east, and Juliet is the sun!",
    "Arise, fair sun, and kill the envious moon,",
    "JULIET:\nO Romeo, Romeo, wherefore art thou Romeo?",
    "Deny thy father and refuse thy name;",
)
