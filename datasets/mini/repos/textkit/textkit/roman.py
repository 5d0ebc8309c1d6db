"""Roman numerals."""

NUMERALS = [(10, "X"), (5, "V"), (1, "I")]


def roman(number):
    """The Roman numeral of a number from 1 to 39."""
    text = ""
    for value, numeral in NUMERALS:
        while number >= value:
            text += numeral
            number -= value
    return text
