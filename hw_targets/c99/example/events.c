/* One inference, from events to a class: `make -C c example`. events.inc has those of a golden sample by step: step,
 * input (channels last), value; the last row ends them. */
#include "snnkd.h"

#include <stdio.h>
#include <string.h>

static const struct {
    uint32_t step;
    uint32_t input;
    int32_t value;
} sent[] = {
#include "events.inc"
};

static snnkd_state state; /* all that changes */
static snnkd_input input[SNNKD_INPUTS];

int main(void)
{
    uint32_t next = 0U;
    uint32_t step;

    snnkd_init(&state);
    for (step = 0U; step < SNNKD_STEPS; step++) { /* or until snnkd_decided(&state), where there is early exit */
        (void)memset(input, 0, sizeof input);
        while (sent[next].step == step) {
            input[sent[next].input] = (snnkd_input)sent[next].value;
            next++;
        }
        snnkd_step(&state, input);
    }
    (void)printf("class %lu\n", (unsigned long)snnkd_classify(&state));
    return 0;
}
