"""How often words occur."""


def count(text):
    """How often each word occurs, whatever its case."""
    words = {}
    for word in text.split():
        words[word] = words.get(word, 0) + 1
    return words
