import unittest

from textkit.squeeze import squeeze


class Squeeze(unittest.TestCase):
    def test_nothing_repeated(self):
        self.assertEqual(squeeze("abc"), "abc")
