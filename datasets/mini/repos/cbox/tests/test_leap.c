#include "cbox.h"
#include "check.h"

int main(void)
{
    CHECK(leap_2024, leap(2024));
    return DONE;
}
