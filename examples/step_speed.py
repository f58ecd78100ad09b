"""Measure which precision is fastest for a model on this machine's CPU.

    python examples/step_speed.py torchvision/resnet18 torchvision/mobilenet_v3_small

Prints the seconds of one training step (forward pass, backward pass, SGD) with a batch of 16 images
of 128 pixels, in channels-last memory format.
"""

from __future__ import annotations

import argparse
import time

import lightly_core


def seconds_per_step(name: str, *, bf16: bool, steps: int = 5) -> float:
    """Return the mean time of a step in seconds, after one warm-up step."""
    import torch  # imported here, so that --help is fast

    torch.manual_seed(0)
    wrapper = lightly_core.get_wrapped_model(name)
    wrapper.to(memory_format=torch.channels_last)
    images = torch.randn(16, 3, 128, 128).contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(wrapper.parameters(), lr=1e-3, fused=True)
    start = 0.0
    for step in range(steps + 1):
        if step == 1:
            start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            pooled = wrapper.forward_pool(wrapper.forward_features(images))["pooled_features"]
        pooled.float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return (time.perf_counter() - start) / steps


def main() -> None:
    """Print a row of a Markdown table for each model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="+", metavar="MODEL", help="such as torchvision/resnet18")
    models = parser.parse_args().models
    print("| model | 32-true | bf16-mixed |\n|---|---|---|")
    for model in models:
        full, half = (seconds_per_step(model, bf16=bf16) for bf16 in (False, True))
        print(f"| {model} | {full:.3f} s | {half:.3f} s |")


if __name__ == "__main__":
    main()
