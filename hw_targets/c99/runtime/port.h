/* The self-test, and what it needs of the machine that it runs on. */
#ifndef PORT_H
#define PORT_H

/* Compares everything with the golden samples; 0 where all are equal. */
int snnkd_selftest(void);

/* Prints a text as it is. */
void port_print(const char *text);

/* Around the work of an inference, which may be measured in several pieces. */
void port_begin(void);
void port_end(void);

/* Prints what was measured of so many inferences, if anything. */
void port_report(unsigned long inferences);

#endif
