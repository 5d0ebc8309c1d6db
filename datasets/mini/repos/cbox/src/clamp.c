#include "cbox.h"

int clamp(int number, int low, int high)
{
    (void)high;
    return number < low ? low : number;
}
