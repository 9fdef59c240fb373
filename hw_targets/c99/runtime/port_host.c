/* The self-test on a machine with a C library. It measures nothing. */
#include "port.h"

#include <stdio.h>

void port_print(const char *text)
{
    (void)fputs(text, stdout);
}

void port_begin(void)
{
}

void port_end(void)
{
}

void port_report(unsigned long inferences)
{
    (void)inferences;
}
