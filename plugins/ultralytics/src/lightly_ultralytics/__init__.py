"""Ultralytics' YOLO and RT-DETR models as backbones for lightly-core."""
