"""The integer network in ONNX: standard operators (domain ai.onnx) on integers only, so any runtime can open it.

`step_model` is one time step with the states as inputs and outputs, `inference_model` a whole inference. Both equal
`definition.simulate` exactly; names and shapes are in docs/onnx.md.
"""

from snnkd.engines.onnx.graph.models import inference_model, step_model

__all__ = ["inference_model", "step_model"]
