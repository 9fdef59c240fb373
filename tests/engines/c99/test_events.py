"""The C encoder of recordings: raw events, in any pieces, make the cells of the definition."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import numpy as np

from snnkd.data.recordings import cells
from snnkd.engines.c99 import build, harness
from snnkd.engines.c99.source import model_files, runtime_files
from snnkd.ir.event_encoding import EventEncoding
from snnkd.ir.network import Cuba, Dense, IntNet

# Reads the length of a piece, and events of four uint32 each; writes the cells of each step as int32, channels last.
MAIN = """
#include "snnkd_events.h"
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    static snnkd_input input[SNNKD_INPUTS];
    static snnkd_event events[4096];
    snnkd_events encoder;
    uint32_t word[4], piece, length = 0U, used = 0U, step, i;

    if (fread(&piece, 4, 1, stdin) != 1) return 2;
    while (fread(word, 4, 4, stdin) == 4) {
        events[length].time = word[0];
        events[length].x = (uint16_t)word[1];
        events[length].y = (uint16_t)word[2];
        events[length].polarity = (uint8_t)word[3];
        length++;
    }
    snnkd_events_reset(&encoder);
    for (step = 0U; step < SNNKD_STEPS; step++) {
        uint32_t part, taken;

        do {
            part = (length - used < piece) ? (length - used) : piece;
            taken = snnkd_events_add(&encoder, &events[used], part, input);
            used += taken;
        } while ((taken == part) && (used < length));
        snnkd_events_end(&encoder, input);
        for (i = 0U; i < SNNKD_INPUTS; i++) {
            const int32_t cell = (int32_t)input[i];
            if (fwrite(&cell, 4, 1, stdout) != 1) return 2;
        }
    }
    return 0;
}
"""


def net_of(encoding):
    one = Cuba(*(np.array([value]) for value in (4096, 0, 10)))
    weight = np.ones((2, int(np.prod(encoding.shape))), np.int64)
    return IntNet(
        encoding.shape,
        (Dense(weight, one),),
        steps=encoding.steps,
        message_bits=encoding.message_bits,
        encoding=encoding.to_json(),
    )


def encoded(folder, encoding, one, piece, compiler, flags):
    net, host = net_of(encoding), harness._Host()
    build.write(folder, runtime_files(host) | model_files(net, host) | {"main.c": MAIN.encode()})
    program = build.compile(folder, [*build.RUNTIME, "main.c"], "main", compiler, flags)
    words = np.stack([one.t, one.x, one.y, one.p], axis=1).astype(np.uint32)
    done = subprocess.run(
        [program], input=np.uint32(piece).tobytes() + words.tobytes(), capture_output=True, check=True, timeout=60
    )
    channels, height, width = encoding.shape
    return np.frombuffer(done.stdout, np.int32).reshape(encoding.steps, height, width, channels).transpose(0, 3, 1, 2)


PLAIN = EventEncoding(5, (12, 16), window_us=700)
FLAGS = (*build.STRICT, "-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover")


def test_the_c_encoder_gives_the_cells_of_the_definition(event_encoding, shaken, gcc, tmp_path):
    for seed, piece in ((0, 4096), (1, 1), (2, 7)):
        one = shaken(seed=seed)
        found = encoded(tmp_path, event_encoding, one, piece, gcc, FLAGS)
        np.testing.assert_array_equal(found, cells.encode_one(event_encoding, one), err_msg=f"pieces of {piece}")


def test_both_compilers_take_it(shaken, compiler, tmp_path):
    signed = replace(PLAIN, polarity="signed", cell="count", bits=2)
    for number, encoding in enumerate((PLAIN, signed, replace(PLAIN, window_us=None, count=60))):
        found = encoded(tmp_path / str(number), encoding, shaken(), 5, compiler, (*build.STRICT, "-O2"))
        np.testing.assert_array_equal(found, cells.encode_one(encoding, shaken()))


def test_an_encoding_that_does_not_fit_the_network_is_no_encoder():
    net = net_of(PLAIN)
    for encoding in ({"kind": "events", "steps": "1; evil"}, {**PLAIN.to_json(), "pool": 2}):
        header = model_files(replace(net, encoding=encoding), harness._Host())["model.h"].decode()
        assert "#define SNNKD_HAS_EVENT_ENCODER 0" in header and "evil" not in header
