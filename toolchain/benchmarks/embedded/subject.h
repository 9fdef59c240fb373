/* What embedded.py measures: one function of each system, from the same input to a class. */
#ifndef SUBJECT_H
#define SUBJECT_H

#include <stdint.h>

/* The class of an 8-bit image, channels last, which is number `index` of its data set. */
uint32_t subject_run(const uint8_t *input, uint32_t index);

#endif
