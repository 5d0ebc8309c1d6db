import unittest

from textkit.roman import roman


class Roman(unittest.TestCase):
    def test_seven(self):
        self.assertEqual(roman(7), "VII")
