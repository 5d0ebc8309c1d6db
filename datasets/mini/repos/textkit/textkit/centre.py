"""Text in the middle of a line."""


def centre(text, width):
    """The text with spaces on both sides; one more on the right if they are odd in number."""
    missing = width - len(text)
    return " " * missing + text
