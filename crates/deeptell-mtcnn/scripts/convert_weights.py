# /// script
# requires-python = ">=3.9"
# dependencies = []
# ///
"""Makes weights/mtcnn.safetensors from the weights of facenet-pytorch 2.6.0.

    python3 scripts/convert_weights.py [WHEEL]

Without WHEEL the wheel is fetched with `pip download facenet-pytorch==2.6.0`. The three
checkpoints in it must have the digests below. Values and shapes stay those of PyTorch (a
dense weight is [out, in]); only the names change, to the paths of the modules in
src/network. Needs neither torch nor numpy: the checkpoints are a few pickles followed by
the raw numbers, and the unpickler below admits nothing but tensors.
"""

import array
import collections
import hashlib
import io
import json
import pathlib
import pickle
import re
import struct
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "facenet-pytorch==2.6.0"
DIGESTS = {
    "pnet": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "rnet": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "onet": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
}
# PyTorch layer -> our module, for the layers behind the convolutions.
HEADS = {
    "pnet": {"conv4_1": "face", "conv4_2": "regression"},
    "rnet": {"dense4": "dense", "prelu4": "activation", "dense5_1": "face", "dense5_2": "regression"},
    "onet": {
        "dense5": "dense",
        "prelu5": "activation",
        "dense6_1": "face",
        "dense6_2": "regression",
        "dense6_3": "landmarks",
    },
}
TORCH_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
Storage = collections.namedtuple("Storage", "key elements")
Tensor = collections.namedtuple("Tensor", "storage offset shape stride")


class TensorUnpickler(pickle.Unpickler):
    """Admits the handful of names a state dict is made of."""

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, stride, *_: Tensor(storage, offset, shape, stride)
        if (module, name) == ("torch", "FloatStorage"):
            return name
        raise pickle.UnpicklingError(f"unexpected {module}.{name} in a checkpoint")

    def persistent_load(self, reference):
        kind, storage_type, key, _location, elements, _view = reference
        if (kind, storage_type) != ("storage", "FloatStorage"):
            raise pickle.UnpicklingError(f"unexpected storage {reference}")
        return Storage(key, elements)


def read_checkpoint(blob):
    """{name: (shape, little-endian float32 bytes)} of a checkpoint in torch's pre-1.6 format."""
    stream = io.BytesIO(blob)
    if TensorUnpickler(stream).load() != TORCH_LEGACY_MAGIC:
        raise SystemExit("not a checkpoint of the pre-1.6 format")
    _protocol, _system = TensorUnpickler(stream).load(), TensorUnpickler(stream).load()
    tensors = TensorUnpickler(stream).load()
    numbers = {}
    for key in TensorUnpickler(stream).load():
        (elements,) = struct.unpack("<q", stream.read(8))
        numbers[key] = stream.read(4 * elements)
    return {
        name: (list(tensor.shape), gather(memoryview(numbers[tensor.storage.key]).cast("I"), tensor))
        for name, tensor in tensors.items()
    }


def gather(words, tensor):
    """The 32-bit words of a strided tensor in row-major order (some checkpoints hold transposed ones)."""
    offsets = [tensor.offset]
    for side, stride in zip(tensor.shape, tensor.stride):
        offsets = [offset + i * stride for offset in offsets for i in range(side)]
    return array.array("I", (words[offset] for offset in offsets)).tobytes()


def module_path(network, name):
    layer, parameter = name.rsplit(".", 1)
    if layer in HEADS[network]:
        path = HEADS[network][layer]
    else:
        kind, number = re.fullmatch(r"(conv|prelu)(\d)", layer).groups()
        path = f"trunk.blocks.{int(number) - 1}.{'convolution' if kind == 'conv' else 'activation'}"
    # Burn calls the slope of a PReLU alpha.
    return f"{network}.{path}.{'alpha' if path.endswith('activation') else parameter}"


def write_safetensors(path, tensors):
    header, offset = {"__metadata__": {"source": PACKAGE, "license": "MIT"}}, 0
    for name, (shape, data) in sorted(tensors.items()):
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    body = b"".join(data for _, (_, data) in sorted(tensors.items()))
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def fetch_wheel(folder):
    subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, PACKAGE], check=True)
    return next(pathlib.Path(folder).glob("*.whl"))


def main():
    out = pathlib.Path(__file__).resolve().parent.parent / "weights"
    with tempfile.TemporaryDirectory() as folder:
        wheel = zipfile.ZipFile(sys.argv[1] if len(sys.argv) > 1 else fetch_wheel(folder))
        tensors = {}
        for network, digest in DIGESTS.items():
            blob = wheel.read(f"facenet_pytorch/data/{network}.pt")
            if hashlib.sha256(blob).hexdigest() != digest:
                raise SystemExit(f"{network}.pt is not the checkpoint this script knows")
            for name, tensor in read_checkpoint(blob).items():
                tensors[module_path(network, name)] = tensor
        out.mkdir(exist_ok=True)
        write_safetensors(out / "mtcnn.safetensors", tensors)
        (out / "LICENSE").write_bytes(wheel.read("facenet_pytorch-2.6.0.dist-info/LICENSE.md"))
        wheel.close()
    print(f"{len(tensors)} tensors, {sum(len(d) for _, d in tensors.values()) // 4} parameters")


if __name__ == "__main__":
    main()
