"""From a weights file to a published artifact: backbones, checkpoints, ONNX, and the pipeline that joins them.

The only room that needs torch, and only once a backbone is built: `pip install 'reidkit[export]'`.
"""
