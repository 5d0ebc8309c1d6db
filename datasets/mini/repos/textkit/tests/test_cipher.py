import unittest

from textkit.cipher import shift


class Cipher(unittest.TestCase):
    def test_start_of_alphabet(self):
        self.assertEqual(shift("abc", 1), "bcd")
