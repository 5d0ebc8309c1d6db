#include "cbox.h"

int gcd(int a, int b)
{
    return b == 0 ? a : b;
}
