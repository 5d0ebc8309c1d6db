import unittest

from textkit.slug import slug


class Slug(unittest.TestCase):
    def test_two_words(self):
        self.assertEqual(slug("Two Words"), "two-words")
