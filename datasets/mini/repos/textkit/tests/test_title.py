import unittest

from textkit.title import title


class Title(unittest.TestCase):
    def test_lower_case(self):
        self.assertEqual(title("of mice"), "Of Mice")
