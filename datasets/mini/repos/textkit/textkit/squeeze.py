"""Repeated characters."""


def squeeze(text):
    """The text with each run of one character shortened to that character."""
    result = ""
    for char in text:
        if char not in result:
            result += char
    return result
