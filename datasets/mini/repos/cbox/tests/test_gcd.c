#include "cbox.h"
#include "check.h"

int main(void)
{
    CHECK(gcd_with_zero, gcd(7, 0) == 7);
    return DONE;
}
