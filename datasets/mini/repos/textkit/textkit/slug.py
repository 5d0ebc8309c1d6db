"""Titles as parts of addresses."""


def slug(title):
    """The title in lower case, with one hyphen between its words."""
    return title.lower().replace(" ", "-")
