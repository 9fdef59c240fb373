/* One inference, from a camera's raw events to a class: `make -C c example`. recording.inc has the events of a golden
 * sample as the camera sent them: microseconds since the recording began, column, row, polarity. */
#include "snnkd.h"
#include "snnkd_events.h"

#include <stdio.h>

static const snnkd_event recording[] = {
#include "recording.inc"
};

static snnkd_state state; /* all that changes */
static snnkd_events encoder;
static snnkd_input input[SNNKD_INPUTS];

int main(void)
{
    const uint32_t length = (uint32_t)(sizeof recording / sizeof recording[0]);
    uint32_t used = 0U;
    uint32_t step;

    snnkd_init(&state);
    snnkd_events_reset(&encoder);
    for (step = 0U; step < SNNKD_STEPS; step++) { /* or until snnkd_decided(&state), where there is early exit */
        used += snnkd_events_add(&encoder, &recording[used], length - used, input);
        snnkd_events_end(&encoder, input);
        snnkd_step(&state, input);
    }
    (void)printf("class %lu\n", (unsigned long)snnkd_classify(&state));
    return 0;
}
