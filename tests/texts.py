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

GREEN_HILL_ARPA = """\\data\\
ngram 1=6
ngram 2=4

\\1-grams:
-1.1\t<unk>
-99\t<s>\t-0.25
-0.8\t</s>
-0.55\tgreen\t-0.15
-0.6\thill\t-0.2
-0.9\tstone\t-0.1

\\2-grams:
-0.35\t<s> green
-0.25\tgreen hill
-0.45\thill </s>
-0.7\tstone hill

\\end\\
"""
