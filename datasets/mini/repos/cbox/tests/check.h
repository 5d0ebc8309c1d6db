/* Prints `PASSED name` or `FAILED name` for each check; `DONE` is the exit status. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>

static int failures;

#define CHECK(name, expression)                                  \
    do {                                                         \
        int fine = (expression);                                 \
        printf("%s %s\n", fine ? "PASSED" : "FAILED", #name);    \
        fflush(stdout);                                          \
        failures += !fine;                                       \
    } while (0)

#define DONE (failures != 0)

#endif
