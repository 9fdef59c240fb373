#include "snnkd_events.h"

#if SNNKD_HAS_EVENT_ENCODER

#include <string.h>

/* The input of the step, all 0, unless it has begun. */
static void begin(snnkd_events *encoder, snnkd_input *input)
{
    if (!encoder->begun) {
        (void)memset(input, 0, SNNKD_INPUTS * sizeof input[0]);
        encoder->taken = 0U;
        encoder->begun = true;
    }
}

/* Whether an event that is seen, or is not, belongs to a later step. */
static bool is_later(const snnkd_events *encoder, bool seen)
{
#if SNNKD_EVENTS_BY_TIME
    (void)seen;
    return (encoder->latest >= encoder->start) && ((encoder->latest - encoder->start) >= SNNKD_EVENTS_OF_STEP);
#else
    return seen && (encoder->taken >= SNNKD_EVENTS_OF_STEP);
#endif
}

static void put(snnkd_input *cell, uint32_t polarity)
{
#if SNNKD_EVENTS_SIGNED
    *cell += (polarity != 0U) ? 1 : -1;
#else
    (void)polarity;
    if (*cell < SNNKD_EVENTS_LARGEST) {
        *cell = (snnkd_input)(*cell + 1U);
    }
#endif
}

void snnkd_events_reset(snnkd_events *encoder)
{
    encoder->latest = 0U;
    encoder->start = 0U;
    encoder->taken = 0U;
    encoder->begun = false;
}

uint32_t snnkd_events_add(snnkd_events *encoder, const snnkd_event *events, uint32_t length, snnkd_input *input)
{
    uint32_t used;

    begin(encoder, input);
    for (used = 0U; used < length; used++) {
        const snnkd_event *event = &events[used];
        /* What lies above or left of the window wraps around to a large number. */
        const uint32_t row = (uint32_t)event->y - SNNKD_EVENTS_TOP;
        const uint32_t column = (uint32_t)event->x - SNNKD_EVENTS_LEFT;
        const bool seen = (row < SNNKD_EVENTS_HEIGHT) && (column < SNNKD_EVENTS_WIDTH);

        if (event->time > encoder->latest) {
            encoder->latest = event->time;
        }
        if (is_later(encoder, seen)) {
            break;
        }
        if (seen) {
            const uint32_t pixel =
                ((row / SNNKD_EVENTS_POOL) * (SNNKD_EVENTS_WIDTH / SNNKD_EVENTS_POOL)) + (column / SNNKD_EVENTS_POOL);
            const uint32_t on = (event->polarity != 0U) ? 1U : 0U;

            put(&input[(SNNKD_EVENTS_CHANNELS == 2U) ? ((pixel * 2U) + on) : pixel], on);
            encoder->taken++;
        }
    }
    return used;
}

void snnkd_events_end(snnkd_events *encoder, snnkd_input *input)
{
#if SNNKD_EVENTS_SIGNED
    uint32_t i;
#endif

    begin(encoder, input);
#if SNNKD_EVENTS_SIGNED
    for (i = 0U; i < SNNKD_INPUTS; i++) {
        if (input[i] > SNNKD_EVENTS_LARGEST) {
            input[i] = SNNKD_EVENTS_LARGEST;
        } else if (input[i] < -SNNKD_EVENTS_LARGEST) {
            input[i] = -SNNKD_EVENTS_LARGEST;
        } else {
            /* as it is */
        }
    }
#endif
#if SNNKD_EVENTS_BY_TIME
    encoder->start =
        (encoder->start > (UINT32_MAX - SNNKD_EVENTS_OF_STEP)) ? UINT32_MAX : (encoder->start + SNNKD_EVENTS_OF_STEP);
#endif
    encoder->begun = false;
}

#endif
