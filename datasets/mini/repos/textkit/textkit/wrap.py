"""Lines of a limited length."""


def wrap(text, width):
    """The words of a text in lines of at most `width` characters."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return lines + [line] if line else lines
