# /// script
# requires-python = ">=3.9"
# dependencies = ["torch==2.2.2", "torchvision==0.17.2", "numpy<2"]
# ///
"""Writes tests/data/torchvision.json: what torchvision's MobileNetV3-Small computes.

The weights are not trained ones: each tensor is filled by a small generator seeded with its
name, so that the test can make the same weights without a file. Run from the crate's folder:

    python scripts/make_golden.py > tests/data/torchvision.json
"""

import json
import math

import torch
import torchvision

MASK = (1 << 31) - 1


def uniform(name, count):
    """`count` numbers in 0..1 from a linear congruential generator (the one of ANSI C)."""
    state = sum((i + 1) * byte for i, byte in enumerate(name.encode())) & MASK
    values = []
    for _ in range(count):
        state = (1103515245 * state + 12345) & MASK
        values.append(state / (MASK + 1))
    return torch.tensor(values, dtype=torch.float64)


def fill(name, shape):
    u = uniform(name, math.prod(shape)).reshape(shape)
    if name.endswith("running_var"):
        value = 0.5 + u
    elif len(shape) > 1:
        fan_in = math.prod(shape[1:])
        value = (u - 0.5) * math.sqrt(24.0 / fan_in)
    elif name.endswith("weight"):
        value = 0.75 + 0.5 * u
    else:
        value = 0.4 * (u - 0.5)
    return value.to(torch.float32)


def grad_cam(network, x, category):
    """Grad-CAM of one logit at the last feature map, through the whole graph: one map per image."""
    features = network.features(x)
    features.retain_grad()
    logits = network.classifier(network.avgpool(features).flatten(1))
    logits[:, category].sum().backward()
    weights = features.grad.mean(dim=(2, 3), keepdim=True)
    return torch.relu((weights * features).sum(dim=1)).detach()


def main():
    network = torchvision.models.mobilenet_v3_small(num_classes=3).eval()
    state = {
        name: tensor if name.endswith("num_batches_tracked") else fill(name, tuple(tensor.shape))
        for name, tensor in network.state_dict().items()
    }
    network.load_state_dict(state)
    x = ((uniform("input", 2 * 3 * 65 * 63) - 0.5) * 4).to(torch.float32).reshape(2, 3, 65, 63)
    stages = []
    with torch.no_grad():
        y = x
        for stage in network.features:
            y = stage(y)
            flat = y.flatten()
            stages.append(
                {
                    "shape": list(y.shape),
                    "mean_abs": flat.abs().mean().item(),
                    "first": flat[:24].tolist(),
                    "last": flat[-24:].tolist(),
                }
            )
        embedding = network.avgpool(y).flatten(1)
        logits = network.classifier(embedding)
    shape = (2, 3, 160, 224)
    maps = grad_cam(network, ((uniform("grad-cam", math.prod(shape)) - 0.5) * 4).to(torch.float32).reshape(shape), 1)
    print(
        json.dumps(
            {
                "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__},
                "input_shape": list(x.shape),
                "stages": stages,
                "embedding_first": embedding[:, :16].tolist(),
                "logits": logits.tolist(),
                "grad_cam": {"input_shape": list(shape), "class": 1, "maps": maps.tolist()},
            }
        )
    )


if __name__ == "__main__":
    main()
