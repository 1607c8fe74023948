"""Turn the sources' own page layouts into plain text, and cut it into a training and a held-out part.

Everything here maps text to text and touches no file, so the rules can be read and tested one at a time.
The aim of `play` is the layout that language-modelling folk know from tinyshakespeare: `NAME:` on its own
line, the speech under it, one blank line before the next. A word n-gram then learns who speaks and where
lines break.
"""

import re
from collections import Counter

STAGE = re.compile(r"[\[{][^\[\]{}]*[\]}]")  # the source opens or closes a few directions with a brace
UNCLOSED = re.compile(r"[\[{].*")
BARE_STAGE = re.compile(r"(?:.*\. )?(?:Enter|Re-enter)\b|Here alarum\b")
BARE_EXIT = re.compile(r" *(?:Exit|Exeunt)(?: [A-Z][a-z]+)?$")
ACT = re.compile(r"(ACT|SCENE|Act|Scene)\b")
FRAME = re.compile(r"(?:THE )?(PROLOGUE|EPILOGUE|INDUCTION)\b")
NUMERAL = re.compile(r"[IVXLC]+\.?$")
NAME_WORD = r"(?:[A-Z0-9][\w'&]*|and|of|the|to|&[Cc]?)"
SPEAKER = re.compile(rf"({NAME_WORD}(?:[.,]? {NAME_WORD})*)\.$")  # KING LEAR.  Ham.  1 Cit.  Cor. and Volt.
BARE_SPEAKER = re.compile(r"([A-Z]{3,}(?: [A-Z]+)*)$")  # one play in the source leaves the full stop out
INLINE_SPEAKER = re.compile(r"((?:[A-Z]{2,} ?)+)\. +(?=\S)")  # OFFICER. Good sir, be patient.
NOT_SPEAKERS = {"SONG", "THE END", "DUMB SHOW"}
LONGEST_NAME = 40  # characters; a longer first line is verse that happens to be capitalised
LONGEST_ABBREVIATION = 5  # letters: Glend. for Glendower


def paragraphs(text):
    """Split text at blank lines; strip each line, and make every run of spaces in it one space."""
    lines = (re.sub(r"[ \t]+", " ", line.strip()) for line in text.splitlines())
    blocks = re.split(r"\n{2,}", "\n".join(lines).strip("\n"))
    return [block for block in blocks if block]


def prose(text):
    """Return text that has no layout to speak of: tidy paragraphs, one blank line apart."""
    return "\n\n".join(paragraphs(text)) + "\n"


def poem(text):
    """Return a poem's stanzas, without its title, its author's name and the numbers over its stanzas.

    >>> poem("THE SONNETS\\nby William Shakespeare\\n\\n\\nI\\n\\nFrom fairest creatures\\n  We desire\\n")
    'From fairest creatures\\nWe desire\\n'
    """
    stanzas = [
        block
        for block in paragraphs(text.replace("_", ""))
        if not (block.isupper() or NUMERAL.match(block) or "by William Shakespeare" in block)
    ]
    return "\n\n".join(stanzas) + "\n"


def shakespeare(text):
    """Return one work of the complete works: a play if it is cut into acts, else a poem."""
    return play(text) if any(ACT.match(block) for block in paragraphs(text)) else poem(text)


def play(text):
    """Return the speeches of a play, each under its speaker; front matter, headings and directions go.

    A paragraph that names no speaker goes on with the speech before it: in the source that is a speech with a
    stage direction in the middle, or the next stanza of a song. Right after a heading it is a chorus.

    >>> print(play("PERSONS\\n\\nACT I.\\n\\n[Enter BIRON]\\n\\nBIRON. [Aside.]\\n Well,\\nwell.\\n"), end="")
    BIRON:
    Well,
    well.
    """
    blocks = paragraphs(text.replace("_", ""))
    title, blocks = blocks[0], _after_front_matter(blocks)
    full_names = _full_names(text)
    speeches, after_heading = [], False
    for block in blocks:
        if ACT.match(block):
            after_heading = True
            continue
        if title.endswith(block):
            continue
        speaker, speech = _speaker_and_speech(strip_directions(block))
        if not speaker and BARE_STAGE.match(speech):
            continue
        if not speaker and after_heading:
            if speech.count("\n") < 2:
                continue  # the place, printed under the heading as a paragraph of its own
            speaker = "CHORUS"
        if speaker:
            speeches.append((_spell_out(speaker, full_names), []))
            after_heading = False
        if speech:
            speeches[-1][1].append(speech)
    return "\n".join(f"{name}:\n" + "\n".join(parts) + "\n" for name, parts in speeches if parts)


def strip_directions(block):
    """Return a paragraph without its stage directions, mending the brackets the source forgot.

    >>> strip_directions("Give me thy hand [They part], and so farewell.")
    'Give me thy hand, and so farewell.'
    """
    before = None
    while before != block:  # innermost first: some directions hold directions
        before, block = block, STAGE.sub("", block)
    if block[:1] in "[{" or (block[-1:] in "]}" and "\n" not in block):
        return ""
    block = re.sub(r"[\[\]{}]", "", UNCLOSED.sub("", block))
    lines = (re.sub(r" +(?=[ ,.;:!?]|$)", "", BARE_EXIT.sub("", line)).strip() for line in block.split("\n"))
    return "\n".join(line for line in lines if line)


def split_tail(work, heldout):
    """Cut a work in two at a blank line, so that at least `heldout` of its characters are in the second part.

    The two parts, joined, are the work. A work with no blank line early enough goes whole to the first part.
    """
    cut = work.rfind("\n\n", 0, int(len(work) * (1 - heldout)) + 1)
    return (work, "") if cut < 0 else (work[: cut + 2], work[cut + 2 :])


def _after_front_matter(blocks):
    for start, block in enumerate(blocks):
        if ACT.match(block) or FRAME.match(block):
            return blocks[start:]
    return blocks


def _speaker_and_speech(block):
    first, _, rest = block.partition("\n")
    frame = FRAME.match(first)
    if frame and not rest:
        return frame[1], ""
    if first.rstrip(".").upper() in NOT_SPEAKERS or NUMERAL.match(first):
        return None, rest
    if len(first) <= LONGEST_NAME:
        named = SPEAKER.match(first) or BARE_SPEAKER.match(first)
        if named and (rest or first.isupper()):
            return named[1], rest
    inline = INLINE_SPEAKER.match(block)
    return (inline[1], block[inline.end() :]) if inline else (None, block)


def _spell_out(speaker, full_names):
    return re.sub(r"([A-Za-z]+)\.?", lambda word: full_names.get(word[1].upper(), word[0]), speaker).upper()


def _full_names(text):
    """Spell out the speakers that a play abbreviates: Ham. is the commonest word that begins so.

    Words are counted in the list of persons and in the stage directions only. A name that is commoner there
    than every longer word, such as King, is no abbreviation.
    """
    front = text[: (re.search(r"^(ACT|Act)\b", text, re.M) or re.search("$", text)).start()]
    about = " ".join([front, *STAGE.findall(text)])
    words = Counter(word.upper() for word in re.findall(r"[A-Z][A-Za-z]+", about))
    full_names = {}
    for short in {name.upper() for name in re.findall(r"(?<=\n\n)[A-Z][A-Za-z]+(?=\.(?: \[.*)?\n)", text)}:
        longer = [word for word in words if word.startswith(short) and word not in (short, short + "S")]
        full = max(longer, key=lambda word: (words[word], word), default=short)
        if len(short) <= LONGEST_ABBREVIATION and words[full] > words[short]:
            full_names[short] = full
    return full_names
