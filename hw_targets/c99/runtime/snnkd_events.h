/* The encoder of recordings: raw events of a camera, one after the other as it sends them, to the input of a step.
 * There where SNNKD_HAS_EVENT_ENCODER is 1; its constants are in model.h. Integers only; any number of encoders may
 * run at once.
 *
 *     snnkd_events_reset(&encoder);
 *     for (step = 0; step < SNNKD_STEPS; step++) {
 *         used += snnkd_events_add(&encoder, &recording[used], length - used, input);
 *         snnkd_events_end(&encoder, input);
 *         snnkd_step(&state, input);
 *     }
 */
#ifndef SNNKD_EVENTS_H
#define SNNKD_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t time;    /* microseconds since the recording began */
    uint16_t x;       /* column, from the left */
    uint16_t y;       /* row, from the top */
    uint8_t polarity; /* 0 OFF, darker; 1 ON */
} snnkd_event;

/* What it has to remember between two calls. */
typedef struct {
    uint32_t latest; /* the latest time so far: an event whose time goes back counts as if it came at this one */
    uint32_t start;  /* of the step, in microseconds */
    uint32_t taken;  /* events of the step that were seen */
    bool begun;      /* whether the input is the step's already */
} snnkd_events;

/* Begins a recording, at its first step. */
void snnkd_events_reset(snnkd_events *encoder);

/* Adds events to the input of the step, SNNKD_INPUTS elements, and returns how many of them are taken. The next one
 * belongs to a later step; where all are taken, more of the same step may follow. Nothing else may change the input
 * between the first call for a step and its end. */
uint32_t snnkd_events_add(snnkd_events *encoder, const snnkd_event *events, uint32_t length, snnkd_input *input);

/* Ends the step: the input is what snnkd_step takes. */
void snnkd_events_end(snnkd_events *encoder, snnkd_input *input);

#ifdef __cplusplus
}
#endif

#endif
