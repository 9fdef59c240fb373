"""A bundle's README.md: for an engineer who has the zip, make and a compiler, and has never heard of snnkd."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from snnkd.bundle.manifest import Manifest
from snnkd.engines import c99
from snnkd.ir.event_encoding import EventEncoding
from snnkd.ir.network import IntNet, Layer

_TEMPLATE = Path(__file__).with_name("readme_template.md")
_MARKS, _BACKSLASH = re.compile(r"[\\`*_\[<|]"), r"\\\g<0>"

_ENCODERS = {
    "direct": "each pixel, {bits} most significant bits of its 8, is one graded event at every step",
    "rate": "each pixel spikes regularly, as often as it is bright (255: at every step)",
    "poisson": "each pixel spikes at random, with the probability of its brightness, from seed {seed} and the image's "
    "index, so that each run gives the same spikes",
    "latency": "each pixel spikes once, the brighter the sooner; black ones never",
}

_RECORDING = """\
    static snnkd_state state;                        /* its size is known when you compile */
    static snnkd_events encoder;
    static snnkd_input input[SNNKD_INPUTS];
    uint32_t used = 0;

    snnkd_init(&state);
    snnkd_events_reset(&encoder);
    for (uint16_t t = 0; t < SNNKD_STEPS; ++t) {     /* snnkd_event recording[length], as the camera sends them */
        used += snnkd_events_add(&encoder, &recording[used], length - used, input);
        snnkd_events_end(&encoder, input);
        snnkd_step(&state, input);
        if (snnkd_decided(&state)) break;            /* early exit, optional */
    }
    int class_number = snnkd_classify(&state);       /* snnkd_reset(&state) before the next recording */"""

_IMAGE = """\
    static snnkd_state state;                        /* its size is known when you compile */
    static snnkd_input events[SNNKD_INPUTS];

    snnkd_init(&state);
    for (uint16_t t = 0; t < SNNKD_STEPS; ++t) {
        snnkd_encode(image, index, t, events);       /* uint8_t image[SNNKD_INPUTS] */
        snnkd_step(&state, events);
        if (snnkd_decided(&state)) break;            /* early exit, optional */
    }
    int class_number = snnkd_classify(&state);       /* snnkd_reset(&state) before the next image */"""

_BIAS = """\
    static snnkd_state state;                        /* its size is known when you compile */

    snnkd_init(&state);
    for (uint16_t t = 0; t < SNNKD_STEPS; ++t) {
        snnkd_step(&state, image);                   /* snnkd_input image[SNNKD_INPUTS], the same at every step */
        if (snnkd_decided(&state)) break;            /* early exit, optional */
    }
    int class_number = snnkd_classify(&state);       /* snnkd_reset(&state) before the next image */"""

_EVENTS = """\
    static snnkd_state state;                        /* its size is known when you compile */

    snnkd_init(&state);
    for (uint16_t t = 0; t < SNNKD_STEPS; ++t) {
        snnkd_step(&state, events[t]);               /* snnkd_input events[SNNKD_STEPS][SNNKD_INPUTS] */
        if (snnkd_decided(&state)) break;            /* early exit, optional */
    }
    int class_number = snnkd_classify(&state);       /* snnkd_reset(&state) before the next input */"""

_OVER = {
    "last": "membrane voltage after the last step",
    "max": "membrane voltage after any step",
    "sum": "sum of membrane voltages over all steps",
}

_SCRIPT = """\
    import numpy, onnxruntime

    golden = numpy.load("golden/golden.npz")
    session = onnxruntime.InferenceSession("onnx/inference.onnx")
    names = [output.name for output in session.get_outputs()]
    events = golden["input"].astype(session.get_inputs()[0].type[7:-1])  # of "tensor(int32)"
    found = dict(zip(names, session.run(names, {"input": events})))
    for name in names:
        if name in golden:
            print(name, "equal" if (found[name] == golden[name]).all() else "DIFFERENT")
    print("classes", found["classes"])"""


def text(about: Manifest, name: str, net: IntNet, pictured: bool) -> str:
    """Writes README.md. name: of the network; pictured: whether the example has a picture."""
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=name,
        target_name=about.target.name,
        summary=_summary(about, net),
        golden_samples=about.golden.samples,
        facts="\n".join(f"| {key} | {value} |" for key, value in _facts(about, net)),
        qemu=_qemu(about),
        usage=_usage(net),
        encoder=_encoder(about, net),
        picture=_picture(net) if pictured else "",
        readout=_readout(about),
        arrays=_arrays(about, net),
        script=_SCRIPT,
        provenance=_provenance(about),
    )


def _summary(about: Manifest, net: IntNet) -> str:
    shape = " x ".join(map(str, about.input_shape))
    if net.reads_image:
        reads = f"an image of {shape} values, integers of 16 bits and the same at every one of {about.steps} time steps"
    else:
        events = f"graded events of {about.message_bits} bits" if about.message_bits else "spikes, 0 or 1"
        reads = f"{shape} inputs as {events}, for {about.steps} time steps"
    return (
        f"A spiking network of {about.neurons:,} neurons and {about.parameters:,} weights. It reads {reads}, and "
        "answers with a class."
    )


def _facts(about: Manifest, net: IntNet) -> list[tuple[str, str]]:
    work, memory = about.work, about.memory
    if about.accuracy is None:
        accuracy = "not measured: no labels were given"
    else:
        accuracy = f"{about.accuracy.integer:.2%} of {about.accuracy.samples:,} samples ({about.accuracy.data})"
        if about.accuracy.early_exit is not None:
            accuracy += f"; {about.accuracy.early_exit:.2%} with early exit"
    steps = f"{work.steps}"
    if work.early_exit_steps is not None:
        steps += f"; {work.early_exit_steps:.2f} in the mean with early exit"
    named = {} if about.class_names is None else {"classes": _classes(about.class_names)}
    facts = named | {
        "accuracy of exactly this network": accuracy,
        "time steps": steps,
        "flash: weights and parameters": f"{memory.flash:,} bytes, code comes to it",
        "RAM: state": f"{memory.ram:,} bytes, stack and input come to it",
        "work of an inference": f"{work.synops:,.0f} weights read, {work.updates:,} neuron updates, "
        f"{work.spikes:,.1f} spikes (means over {work.samples:,} samples: {work.data})",
        "most work that any input can ask for": f"{work.synops_most:,} weights read",
        "layers": ", ".join(_layer(layer) for layer in net.layers),
    }
    return [*facts.items(), *(("**warning**", text) for text in about.warnings)]


def _classes(names: list[str]) -> str:
    """'0 cat, 1 dog': numbers with names, in which no character is Markdown."""
    return ", ".join(f"{number} {_MARKS.sub(_BACKSLASH, name)}" for number, name in enumerate(names))


def _layer(layer: Layer) -> str:
    return f"{type(layer).__name__.lower()} {'x'.join(map(str, layer.shape))}"


def _qemu(about: Manifest) -> str:
    if about.target.name == "c99":
        return ""
    return (
        "\nFor the target itself: `make -C c qemu` cross-compiles this test with `arm-none-eabi-gcc`, runs it in\nQEMU "
        "and says how many instructions an inference takes. `c/cortex-m/` has what that needs: start-up code, linker "
        "script, semihosting.\n"
    )


def _usage(net: IntNet) -> str:
    memory = c99.plan(net)
    if memory.encoder is None:
        return _BIAS if net.reads_image else _EVENTS
    return _IMAGE if memory.recorded is None else _RECORDING


def _encoder(about: Manifest, net: IntNet) -> str:
    memory = c99.plan(net)
    if about.encoder is None or memory.encoder is None:
        return ""
    if memory.recorded is not None:
        return f"\n{_recorded(memory.recorded)}\n"
    words = _ENCODERS[about.encoder["kind"]].format(**about.encoder)
    return f"\nImages become events by the encoder '{about.encoder['kind']}': {words}.\n"


def _picture(net: IntNet) -> str:
    """How a picture becomes the image of the example, of one channel or three."""
    channels, height, width = net.input_shape
    mode = "L" if channels == 1 else "RGB"
    return (
        " With a picture of yours, as the network was trained on them (needs `pip install pillow`):\n\n"
        '    python3 -c "import sys; from PIL import Image; '
        f"print(*Image.open(sys.argv[1]).convert('{mode}').resize(({width}, {height})).tobytes(), sep=',')\" "
        "picture.png > example/image.inc"
    )


def _recorded(encoding: EventEncoding) -> str:
    top, left, height, width = encoding.window
    step = f"{encoding.window_us:,} microseconds" if encoding.window_us else f"{encoding.count:,} events"
    channels = {
        "channels": "OFF and ON events apart",
        "signed": "ON less OFF events",
        "merged": "both polarities alike",
    }
    cell = f"counted up to {encoding.largest}" if encoding.cell == "count" else "1 or more events are 1"
    return (
        f"Raw events become input by `c/snnkd_events.h`: a step is {step}; rows from {top} and columns from {left}, "
        f"{height} x {width} of them; {encoding.pool} x {encoding.pool} pixels share a cell; "
        f"{channels[encoding.polarity]}; {cell}. Times count from the start of a recording."
    )


def _readout(about: Manifest) -> str:
    rule = about.readout
    if rule["kind"] == "membrane":
        words = f"the class whose output neurons have the highest {_OVER[rule.get('over', 'last')]}"
    else:
        ties = "the higher membrane voltage" if rule["ties"] == "membrane" else "the lower number"
        words = f"the class whose output neurons spiked most; of equals, {ties}"
    exit_rule = about.early_exit
    if exit_rule is not None:
        first, margin = exit_rule["first"], exit_rule["margin"]
        words += f". `snnkd_decided` is true from step {first} on where it leads by {margin:,} or more"
    return f"The answer is {words}."


def _arrays(about: Manifest, net: IntNet) -> str:
    spikes = ", ".join(f"`{name}`" for name in net.names)
    return f"`input`, spikes {spikes} as (sample, step, channel, row, column), `counts`, `classes`"


def _provenance(about: Manifest) -> str:
    origin = "not known: the network came as a file" if about.provenance is None else "in `manifest.json`, `provenance`"
    return f"\nMade by snnkd {about.snnkd}. Where the network is from: {origin}."
