/* One inference, from an image to a class: `make -C c example`. image.inc has the pixels of image.png, a golden sample,
 * rows first, the channels of a pixel together; README.md says how to make it of a picture of yours. */
#include "snnkd.h"
#include "snnkd_encoder.h"

#include <stdio.h>

static const uint8_t image[SNNKD_INPUTS] = {
#include "image.inc"
};

static snnkd_state state; /* all that changes */
static snnkd_input events[SNNKD_INPUTS];

int main(void)
{
    uint32_t step;

    snnkd_init(&state);
    for (step = 0U; step < SNNKD_STEPS; step++) { /* or until snnkd_decided(&state), where there is early exit */
        snnkd_encode(image, 0U, step, events);
        snnkd_step(&state, events);
    }
    (void)printf("class %lu\n", (unsigned long)snnkd_classify(&state));
    return 0;
}
