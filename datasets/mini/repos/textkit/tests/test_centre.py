import unittest

from textkit.centre import centre


class Centre(unittest.TestCase):
    def test_fitting_text(self):
        self.assertEqual(centre("abc", 3), "abc")
