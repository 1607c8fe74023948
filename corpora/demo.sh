#!/bin/sh
# What `make demo` shows: train a word 5-gram on Shakespeare, score unseen text with it, and let it write.
# Usage: demo.sh FOLDER, where the programs python and lmkit are.
set -eu
bin=$1
text=shakespeare
"$bin/python" corpora/fetch.py "$text" >/dev/null || {
    text=the-tide-mill
    echo "Going on with the text that comes with lmkit: $text." >&2
    "$bin/python" corpora/fetch.py --offline >/dev/null
}
build=corpora/build
show() {
    printf '\n$ %s\n' "$*"
    command=$1
    shift
    "$bin/$command" "$@"
}
show lmkit train "$build/$text.train.txt" -o "$build/$text.lmkit"
show lmkit perplexity -m "$build/$text.lmkit" "$build/$text.heldout.txt"
show lmkit sample -m "$build/$text.lmkit" -n 200 --temperature 0.7 --seed 1
printf '\nThe model is %s: try  %s/lmkit sample -m %s/%s.lmkit --prompt "KING LEAR:"\n' "$build/$text.lmkit" "$bin" "$build" "$text"
