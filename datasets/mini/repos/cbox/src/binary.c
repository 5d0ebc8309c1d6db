#include "cbox.h"

int binary(const char *text)
{
    return *text == '1';
}
