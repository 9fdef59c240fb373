/* snnkd's runtime. SUBJECT_EXITS: ends when the class is safe. SUBJECT_EVENTS: the input is no image but the events of
 * so many steps: of all, or of one, which is then repeated. */
#include "subject.h"

#include "snnkd.h"
#include "snnkd_encoder.h"

#include <stddef.h>

static snnkd_state state;

#ifdef SUBJECT_EVENTS
static const snnkd_input *input_of(const uint8_t *input, uint32_t index, uint32_t step)
{
    (void)index;
    if ((SUBJECT_EVENTS == 1) && (SNNKD_KEEPS_INPUT != 0) && (step != 0U)) {
        return NULL;
    }
    return &input[(SUBJECT_EVENTS == 1) ? 0U : (step * SNNKD_INPUTS)];
}
#else
static const snnkd_input *input_of(const uint8_t *input, uint32_t index, uint32_t step)
{
    static snnkd_input events[SNNKD_INPUTS];

    if ((SNNKD_KEEPS_INPUT != 0) && (step != 0U)) {
        return NULL;
    }
    snnkd_encode(input, index, step, events);
    return events;
}
#endif

uint32_t subject_run(const uint8_t *input, uint32_t index)
{
    uint32_t step;

    snnkd_reset(&state);
    for (step = 0U; step < SNNKD_STEPS; step++) {
        snnkd_step(&state, input_of(input, index, step));
#ifdef SUBJECT_EXITS
        if (snnkd_decided(&state)) {
            break;
        }
#endif
    }
    return snnkd_classify(&state);
}
