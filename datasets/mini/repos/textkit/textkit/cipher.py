"""Letters moved along the alphabet."""


def shift(text, by):
    """Each lower-case letter moved `by` places, `a` following `z`; the rest as it is."""
    return "".join(chr(ord(char) + by) if char.islower() else char for char in text)
