#include "cbox.h"
#include "check.h"

int main(void)
{
    CHECK(clamp_below, clamp(1, 3, 5) == 3);
    return DONE;
}
