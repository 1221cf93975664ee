"""Sessions of ONNX Runtime, whose failures are told by exceptions alone."""

import pytest

from service.nets.onnx_graph.runtime import GraphFailure, open_session

onnx = pytest.importorskip("onnx", reason="onnx is not installed")


def test_a_graph_whose_failure_is_no_text_is_refused_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    helper = onnx.helper
    tensors = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    node = helper.make_node("Identity", ["x"], ["y"])
    model = helper.make_model(helper.make_graph([node], "g", tensors[:1], tensors[1:]))
    content = model.SerializeToString().replace(b"Identity", b"Identit\xbb")
    with pytest.raises(GraphFailure, match="utf-8"):
        open_session(content)
    assert capsys.readouterr().out == ""
