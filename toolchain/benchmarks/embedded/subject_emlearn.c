/* emlearn's network of floats; ann.h is what emlearn generates. */
#include "subject.h"

#include "ann.h"

uint32_t subject_run(const uint8_t *input, uint32_t index)
{
    static float features[SUBJECT_INPUTS];
    int i;

    (void)index;
    for (i = 0; i < SUBJECT_INPUTS; i++) {
        features[i] = (float)input[i] * (1.0f / 255.0f);
    }
    return (uint32_t)ann_predict(features, SUBJECT_INPUTS);
}
