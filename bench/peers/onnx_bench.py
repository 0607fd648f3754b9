#!/usr/bin/env python3
"""ONNX Runtime's side of a comparison: onnx_bench.py infer NETWORK THREADS SECONDS|serve [BATCH]. The network is exported by
PyTorch, batch norms not folded; ONNX Runtime does all its own optimisations. Prints lines of JSON like bench/infer."""
import io
import sys
import warnings

import onnxruntime
import torch

import measure
import networks

_, kind, name, threads, how, *rest = sys.argv
batch = int(rest[0]) if rest else networks.usual_batch(kind, name)
net = networks.NETWORKS[name][4]()
networks.fill(net)
net.eval()
x, _ = networks.batch_of(name, net, batch)
file = io.BytesIO()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.onnx.export(net, x, file, dynamo=False, input_names=["x"], do_constant_folding=False,
                      training=torch.onnx.TrainingMode.PRESERVE, opset_version=17)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
options.inter_op_num_threads = 1
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
given = x.numpy()
with torch.no_grad():
    wrong = abs(net(x).numpy() - session.run(None, {"x": given})[0]).max()
if not wrong < 1e-2:
    sys.exit(f"{name}: ONNX Runtime differs from PyTorch by {wrong}")
measure.report(lambda: session.run(None, {"x": given}), how, {"work": name, "threads": int(threads)})
