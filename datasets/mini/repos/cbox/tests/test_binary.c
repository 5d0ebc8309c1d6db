#include "cbox.h"
#include "check.h"

int main(void)
{
    CHECK(binary_of_one, binary("1") == 1);
    return DONE;
}
