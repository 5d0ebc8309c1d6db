#include "cbox.h"

int bits(unsigned number)
{
    return number != 0;
}
