"""Headings."""


def title(text):
    """The text with the first letter of each word in upper case and nothing else changed."""
    return text.title()
