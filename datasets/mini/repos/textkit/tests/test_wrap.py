import unittest

from textkit.wrap import wrap


class Wrap(unittest.TestCase):
    def test_short_text(self):
        self.assertEqual(wrap("a b", 10), ["a b"])
