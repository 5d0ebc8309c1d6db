/* Small functions on numbers. */
#ifndef CBOX_H
#define CBOX_H

/* Greatest common divisor; gcd(n, 0) is n. */
int gcd(int a, int b);
/* Whether a year has a 29 February. */
int leap(int year);
/* Number of bits set. */
int bits(unsigned number);
/* The number held between low and high. */
int clamp(int number, int low, int high);
/* The value of a number written in base 2. */
int binary(const char *text);

#endif
