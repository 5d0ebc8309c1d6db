#include "cbox.h"
#include "check.h"

int main(void)
{
    CHECK(bits_of_zero, bits(0) == 0);
    return DONE;
}
